"""One page about a GPU: is every kernel right at real sizes, and how fast is it?

    python benchmarks/gpu.py [--json FILE]

It takes less than eight minutes. Beside each kernel stand what share of the machine's ceiling
it reaches (the bandwidth of a large copy, the speed of a large matrix product, both measured
here) and, where PyTorch with CUDA is installed, PyTorch's time for the same work in the same
run, in turn. ``--device emulator`` runs the same page at tiny sizes, to try the program.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # when run as a file

from benchmarks import gpu_kernels, gpu_machine, gpu_steps, gpu_work
from benchmarks.gpu_timing import Timer

BUDGET = 420.0  # seconds: what is not measured by then is named and left out


def sections(place: str) -> Iterator[gpu_work.Work]:
    """All work of the page: whole training steps, then the kernels."""
    sizes = gpu_work.TINY if place == "emulator" else gpu_work.REAL
    yield from gpu_steps.training_steps(place, sizes)
    yield from gpu_kernels.all_kernels(place, sizes)


def measure(place: str, budget: float) -> dict:
    """Check and time everything; print the page while it grows."""
    timer = Timer(place)
    ceilings = gpu_machine.ceilings(place, timer)
    print(gpu_machine.describe(place))
    for name, value in ceilings.items():
        print(f"{name}: {value:,.1f}")
    start, rows, left_out = time.monotonic(), [], []
    print(f"\n{gpu_work.HEADER}")
    for work in sections(place):
        if time.monotonic() - start > budget:
            left_out.append(work.name)
            continue
        rows.append(gpu_work.row(work, timer, ceilings))
        print(gpu_work.line(rows[-1]), flush=True)
    if left_out:
        print(f"\nnot measured, {budget:.0f} s were over: {', '.join(left_out)}")
    machine = gpu_machine.describe(place)
    return {"machine": machine, "ceilings": ceilings, "rows": rows, "left_out": left_out}


def main() -> int:
    """Print the page and write the JSON file; 1 if a kernel's result is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cuda", "emulator"), default="cuda")
    parser.add_argument("--json", type=Path, help="write the measurements to this file")
    parser.add_argument("--budget", type=float, default=BUDGET, help="seconds (%(default)s)")
    args = parser.parse_args()
    page = measure(args.device, args.budget)
    if args.json:
        args.json.write_text(json.dumps(page, indent=2) + "\n")
    wrong = [row["work"] for row in page["rows"] if row["wrong"]]
    if wrong:
        print(f"\nWRONG: {', '.join(wrong)}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

"""Every figure as a ratio against a peer's, measured in turn with it.

    python -m benchmarks [--only TEXT ...] [--rounds N] [--json FILE] [--plot FILE] [--data DIR]

Prints a table in Markdown. It ends with status 1 if a contender's results disagree with the
peer's, or if one of minidl's failed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from tqdm import tqdm

from benchmarks import machine, summary, table
from benchmarks.measure import Effort, measure
from benchmarks.worker import Workers
from benchmarks.workload import Workload
from benchmarks.workloads import ALL
from benchmarks.workloads.process import whole_program

try:
    from benchmarks import plot
except ImportError:  # matplotlib is an extra
    plot = None

_BUDGET = 570.0  # on two cores that do nothing else, everything is measured by then


def arguments(options: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--only", nargs="+", metavar="TEXT", help="workloads with one of these in their names"
    )
    parser.add_argument("--rounds", type=int, default=Effort.rounds, help="default: %(default)s")
    parser.add_argument(
        "--seconds",
        type=float,
        default=Effort.seconds,
        help="of work a round (default: %(default)s)",
    )
    parser.add_argument(
        "--budget",
        type=float,
        default=_BUDGET,
        help="seconds after which no other workload is begun (default: %(default)g)",
    )
    parser.add_argument("--json", type=Path, help="write all measurements to this file")
    parser.add_argument("--plot", type=Path, help="draw the ratios into this file")
    parser.add_argument(
        "--data",
        type=Path,
        help="holds cifar-10-batches-py: run the article's whole program too, which takes minutes",
    )
    parser.add_argument("--list", action="store_true", help="name the workloads and stop")
    found = parser.parse_args(options)
    if found.rounds < 1 or found.seconds < 0:
        parser.error("--rounds must be at least 1 and --seconds at least 0")
    if found.data and not (found.data / "cifar-10-batches-py").is_dir():
        parser.error(f"{found.data} has no folder cifar-10-batches-py")
    if found.plot and plot is None:
        parser.error("--plot needs matplotlib: pip install 'minidl[plot]'")
    return found


def chosen(only: list[str] | None, data: Path | None) -> list[Workload]:
    """The workloads to measure; the ceilings always are."""
    everything = [*ALL, *([whole_program(str(data.resolve()))] if data else [])]
    return [
        workload
        for workload in everything
        if only is None
        or workload.family == "ceilings"
        or any(text in workload.name for text in only)
    ]


def run(workloads: list[Workload], effort: Effort, budget: float) -> dict:
    """Measure everything, with a progress bar; what the budget leaves no time for is named."""
    start, rows, left_out = time.monotonic(), [], []
    load = machine.load()
    with Workers() as workers, tqdm(workloads, unit="workload", file=sys.stderr) as bar:
        for workload in bar:
            if time.monotonic() - start > budget:
                left_out.append(workload.name)
                continue
            bar.set_description(workload.name)
            rows.append(measure(workload, workers, effort))
    return {
        "machine": machine.describe(),
        "versions": machine.versions(),
        "load": load,
        "rounds": effort.rounds,
        "seconds": time.monotonic() - start,
        "ceilings": summary.ceilings(rows),
        "rows": rows,
        "left_out": left_out,
    }


def main(options: list[str] | None = None) -> int:
    """Measure, print the table, write the files; the exit status."""
    args = arguments(options)
    workloads = chosen(args.only, args.data)
    if args.list:
        print("\n".join(workload.name for workload in workloads))
        return 0
    page = run(workloads, Effort(args.rounds, args.seconds), args.budget)
    print(table.text(page))
    if args.json:
        args.json.write_text(json.dumps(page, indent=1) + "\n")
    if args.plot:
        plot.draw(page, args.plot)
    return status(page["rows"])


def status(rows: list[dict]) -> int:
    """1, and why on stderr, if the figures are not to be trusted or one of ours is missing."""
    wrong = list(summary.disagreements(rows))
    wrong += [line for name, line in summary.failures(rows) if name in summary.OURS]
    for line in wrong:
        print(f"WRONG: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

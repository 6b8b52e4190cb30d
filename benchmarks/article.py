"""The article's whole program, here and in PyTorch: time from start to finish, and accuracy.

    python -m benchmarks.article --data DIR [--runs N] [--json FILE]

DIR holds cifar-10-batches-py. Each program runs in a process of its own, the two in turn,
``--runs`` times. PyTorch (``pip install .[bench]``) is the peer; without it only minidl runs.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks import machine

HERE = Path(__file__).parent
PROGRAMS = {
    "minidl": HERE.parent / "examples" / "article.py",
    "PyTorch": HERE / "article_torch.py",
}


def run(program: Path, data: Path) -> dict:
    """One run of a program that finds its data in ``./data``: seconds and test accuracy."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "data").symlink_to(data.resolve(), target_is_directory=True)
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, str(program)], cwd=folder, capture_output=True, text=True
        )
        seconds = time.perf_counter() - start
    if done.returncode:
        sys.exit(f"{program} failed:\n{done.stderr}")
    return {"seconds": seconds, "accuracy": float(re.findall(r": ([\d.]+) %", done.stdout)[-1])}


def show(results: dict[str, list[dict]]) -> None:
    """The table: median seconds with their range, accuracy, and the ratio to the peer."""
    print("| program | seconds (range) | accuracy in % | times PyTorch's speed |")
    print("|---|---|---|---|")
    peer = results.get("PyTorch")
    for name, runs in results.items():
        seconds = [r["seconds"] for r in runs]
        accuracy = ", ".join(f"{r['accuracy']:g}" for r in runs)
        ratio = f"{median(r['seconds'] for r in peer) / median(seconds):.2f}" if peer else "-"
        span = f"{median(seconds):.1f} ({min(seconds):.1f}..{max(seconds):.1f})"
        print(f"| {name} | {span} | {accuracy} | {ratio} |")


def main() -> None:
    """Run both programs in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="holds cifar-10-batches-py")
    parser.add_argument("--runs", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--json", type=Path, help="write the measurements to this file")
    args = parser.parse_args()
    if not (args.data / "cifar-10-batches-py").is_dir():
        parser.error(f"{args.data} has no folder cifar-10-batches-py")
    names = ["minidl"] + (["PyTorch"] if importlib.util.find_spec("torch") else [])
    results: dict[str, list[dict]] = {name: [] for name in names}
    for _ in range(args.runs):
        for name in names:
            results[name].append(run(PROGRAMS[name], args.data))
    print(machine.describe())
    show(results)
    if args.json:
        args.json.write_text(
            json.dumps({"machine": machine.describe(), "results": results}, indent=2) + "\n"
        )


if __name__ == "__main__":
    main()

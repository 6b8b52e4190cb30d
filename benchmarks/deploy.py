"""Inference of model files beside onnxruntime: ``python -m benchmarks.deploy A.onnx B.onnx``.

All files are computed by minidl and by onnxruntime, with as many threads each; minidl's time for
the first one is what the others' are compared with. Contenders take turns within this process, a
fraction of a second each; what is printed are medians over the rounds, with their range.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime

import minidl
from benchmarks.machine import describe
from minidl.recipes import load_model

BATCHES = (1, 128)
ROUNDS, SECONDS = 9, 0.2


def by_minidl(path: Path, inputs: np.ndarray) -> Callable[[], np.ndarray]:
    """A compiled pass."""
    forward = minidl.compile(load_model(path).network.eval())
    tensor = minidl.from_numpy(inputs)
    return lambda: forward(tensor).numpy()


def by_onnxruntime(path: Path, inputs: np.ndarray) -> Callable[[], np.ndarray]:
    """A session with all of its optimisations."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = minidl.get_num_threads()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(os.fspath(path), options, ["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda: session.run(None, {name: inputs})[0]


def median(run: Callable[[], np.ndarray]) -> float:
    """The median time of a run, of a fraction of a second's worth, in milliseconds."""
    times, end = [], time.perf_counter() + SECONDS
    while time.perf_counter() < end or len(times) < 5:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return 1e3 * float(np.median(times))


def measured(contenders: dict[str, Callable[[], np.ndarray]]) -> dict[str, list[float]]:
    """The times of each, round by round."""
    for run in contenders.values():
        for _ in range(20):
            run()
    rows: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(ROUNDS):
        for name, run in contenders.items():
            rows[name].append(median(run))
    return rows


def main() -> None:
    """Print the table, and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    first, *others = args.models
    shape = load_model(first).input_shape
    facts = {"machine": describe(), "rows": []}
    print(f"{facts['machine']}\n\n| batch | contender | ms | times {first.name} in minidl |")
    print("|---|---|---|---|")
    for batch in BATCHES:
        random = np.random.default_rng(0)
        inputs = random.standard_normal((batch, *shape)).astype(np.float32)
        with minidl.no_grad():
            contenders = {f"{path.name}, minidl": by_minidl(path, inputs) for path in args.models}
            contenders[f"{first.name}, onnxruntime"] = by_onnxruntime(first, inputs)
            for path in others:
                contenders[f"{path.name}, onnxruntime"] = by_onnxruntime(path, inputs)
            both = [contenders[f"{first.name}, {who}"]() for who in ("minidl", "onnxruntime")]
            np.testing.assert_allclose(*both, rtol=1e-4, atol=1e-4)
            rows = measured(contenders)
        base = np.array(rows[f"{first.name}, minidl"])
        for name, times in rows.items():
            ratios = base / np.array(times)
            spread = f"{np.median(ratios):.2f} ({ratios.min():.2f}..{ratios.max():.2f})"
            print(f"| {batch} | {name} | {np.median(times):.4f} | {spread} |")
            facts["rows"].append({"batch": batch, "contender": name, "ms": times})
    if args.json:
        args.json.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()

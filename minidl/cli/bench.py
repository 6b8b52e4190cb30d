"""Measure how fast a model answers on this machine.

examples:
  minidl bench fast.safetensors
  minidl bench fast.safetensors --batch 1 32 --json
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import minidl
from minidl.cli import options
from minidl.recipes import Classifier, load_model

_SECONDS = 1.0  # for each batch size


def add_arguments(command: argparse.ArgumentParser) -> None:
    """What `run` takes."""
    options.add_model(command)
    command.add_argument(
        "--batch",
        type=options.positive,
        nargs="+",
        default=[1, 128],
        metavar="N",
        help="pictures at a time; default: 1 128",
    )
    options.add_json(command)


def run(args: argparse.Namespace) -> int:
    """Print the latency of a compiled pass, and pictures a second."""
    model = load_model(args.model)
    rows = {batch: _latencies(model, batch) for batch in args.batch}
    facts = {
        "threads": minidl.get_num_threads(),
        "latency_ms": {
            str(batch): {
                "median": 1e3 * float(np.median(times)),
                "p95": 1e3 * float(np.percentile(times, 95)),
                "pictures_per_second": batch / float(np.median(times)),
            }
            for batch, times in rows.items()
        },
    }
    lines = [f"{'batch':>6} {'median':>10} {'95 %':>10} {'pictures/s':>12}"]
    for batch, row in facts["latency_ms"].items():
        lines.append(
            f"{batch:>6} {row['median']:7.3f} ms {row['p95']:7.3f} ms "
            f"{row['pictures_per_second']:12,.0f}"
        )
    options.answer(args, facts, "\n".join(lines))
    return 0


def _latencies(model: Classifier, batch: int) -> list[float]:
    """The seconds of each pass of about a second's worth, after some that do not count."""
    random = np.random.default_rng(0)
    inputs = minidl.tensor(random.normal(size=(batch, *model.input_shape)).astype(np.float32))
    forward = minidl.compile(model.network.eval())
    times: list[float] = []
    with minidl.no_grad():
        for _ in range(5):
            forward(inputs)
        end = time.perf_counter() + _SECONDS
        while time.perf_counter() < end:
            start = time.perf_counter()
            forward(inputs)
            times.append(time.perf_counter() - start)
    return times

"""Measure how fast a model answers on this machine.

examples:
  minidl bench fast.safetensors
  minidl bench fast.safetensors --batch 1 32 --json
"""

from __future__ import annotations

import argparse

import numpy as np

import minidl
from minidl.cli import options
from minidl.compress.report import latencies
from minidl.recipes import load_model

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
    shape = tuple(model.input_shape)
    rows = {batch: latencies(model.network, shape, batch, _SECONDS) for batch in args.batch}
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

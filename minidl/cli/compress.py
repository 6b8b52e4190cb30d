"""Make a model smaller and faster, and say what it cost.

examples:
  minidl compress article.safetensors article-int8.onnx
  minidl compress fast.safetensors small.onnx --multiply-adds 0.5 --epochs 2 --report steps.png
  minidl compress fast.safetensors small.onnx --weights 0.1 --integers trained --epochs 3
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from types import SimpleNamespace

from minidl.cli import options
from minidl.compress import Target, compress_model, plot
from minidl.recipes import (
    RECIPES,
    Classifier,
    DataError,
    find_cifar10,
    limited,
    load_data,
    load_model,
)
from minidl.vision import datasets


def add_arguments(command: argparse.ArgumentParser) -> None:
    """What `run` takes."""
    options.add_model(command)
    add = command.add_argument
    add("out", type=Path, help="where the ONNX file goes")
    add(
        "--multiply-adds",
        type=options.share,
        metavar="SHARE",
        help="keep this share of them",
    )
    add("--weights", type=options.share, metavar="SHARE", help="keep this share: the others are 0")
    add(
        "--integers",
        choices=("static", "trained", "dynamic", "none"),
        default="static",
        help="8-bit integers: calibrated, with training, of linear layers alone; %(default)s",
    )
    add(
        "--epochs",
        type=options.positive,
        default=1,
        metavar="N",
        help="of each step; %(default)s",
    )
    add("--report", type=Path, metavar="PNG", help="draw accuracy against size and latency")
    options.add_data(command)
    add("--limit-train", type=options.positive, metavar="N", help="train on the first N pictures")
    options.add_json(command)


def run(args: argparse.Namespace) -> int:
    """Compress, export, and print the report."""
    model = load_model(args.model)
    integers = None if args.integers == "none" else args.integers
    target = Target(args.multiply_adds, args.weights, integers)
    data = _data(model, args)
    compressed = compress_model(model.network, data, target, epochs=args.epochs)
    row = compressed.report.rows[-1]
    results = {"test_accuracy": row.accuracy, "compressed_from": args.model.name}
    small = Classifier(
        compressed.model, model.classes, model.mean, model.std, model.input_shape, "", results
    )
    small.export(args.out)
    if args.report is not None:
        plot(compressed.report, args.report)
    facts = {"model": str(args.out), "steps": json.loads(compressed.report.to_json())}
    options.answer(args, facts, f"{compressed.report}\nwrote {args.out}, {row.bytes:,} bytes")
    return 0


def _data(model: Classifier, args: argparse.Namespace) -> SimpleNamespace:
    """CIFAR-10 as the model wants it, augmented as its recipe says."""
    folder = find_cifar10(args.data)
    if folder is None:
        raise DataError("without CIFAR-10 there is nothing to measure on: see --data")
    if model.recipe:
        train, test, _ = load_data(RECIPES[model.recipe], folder)
    else:
        train, test = (
            datasets.CIFAR10(folder, train=part, transform=model.transform)
            for part in (True, False)
        )
    if test.classes != model.classes:
        raise DataError(f"the model tells {model.classes} apart, CIFAR-10 has other classes")
    return SimpleNamespace(
        train=limited(train, args.limit_train), test=limited(test, args.limit_test)
    )

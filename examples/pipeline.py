"""The article's figure as a program: preprocess, train, optimise, compress, infer, deploy.

    python examples/pipeline.py --data DIR                         about five minutes on two cores
    python examples/pipeline.py --data DIR --limit-train 2000 --limit-test 500 --epochs 1

Each step is a function of the article's name. The last one starts a server in a process of its
own, asks it what a picture shows, and ends it.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import minidl
from minidl.cli.options import positive
from minidl.compress import Compressed, Target, compress_model
from minidl.recipes import RECIPES, Classifier, DataError, Run, RunError, Stop, find_cifar10
from minidl.vision import datasets
from minidl.vision.quality import preprocess_data
from minidl.vision.quality.preprocess import Preprocessed

RECIPE = RECIPES["fast"]
TARGET = Target(multiply_adds=0.6, integers="static")


def train_model(data: Preprocessed, epochs: int | None) -> Run:
    """Train and optimise the network on the cleaned pictures."""
    run = Run(RECIPE, data.train, data.validation, epochs=epochs)
    with Stop() as stop:
        run.train(stop)
    if stop.requested:
        raise KeyboardInterrupt
    return run


def infer(model: Classifier, data: Preprocessed, count: int = 5) -> None:
    """What the model says of some test pictures."""
    inputs = minidl.stack([data.test[i][0] for i in range(min(count, len(data.test)))])
    for i, shares in enumerate(model.probabilities(inputs)):
        best, label = int(shares.argmax()), int(data.test[i][1])
        print(f"  picture {i}: {model.classes[best]} {shares[best]:.0%}, is {model.classes[label]}")


@contextlib.contextmanager
def deploy_model(model: Classifier, path: Path) -> Iterator[str]:
    """Export the model, and serve it on a free port of this machine within the block."""
    model.export(path)
    command = [sys.executable, "-m", "minidl.cli", "serve", str(path), "--port", "0"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        address = next(
            filter(None, (re.search(r"http://\S+", line) for line in server.stderr)), None
        )
        if address is None:
            raise RunError(f"the server ended with code {server.wait()}")
        yield address.group()
    finally:
        server.terminate()
        server.communicate()


def ask(address: str, picture: Any) -> dict:
    """Send a picture to the server, as any program would."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    request = urllib.request.Request(f"{address}/predict", buffer.getvalue())
    request.add_header("Content-Type", "image/png")
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


def first(dataset: datasets.CIFAR10, count: int | None) -> datasets.CIFAR10:
    """A data set with its first pictures alone."""
    if count is None:
        return dataset
    part = copy.copy(dataset)
    part.data, part.targets = dataset.data[:count], dataset.targets[:count]
    return part


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", type=Path, metavar="DIR", help="holds cifar-10-batches-py or -bin")
    add("--epochs", type=positive, metavar="N", help="default: the recipe's")
    add("--limit-train", type=positive, metavar="N", help="use the first N training pictures")
    add("--limit-test", type=positive, metavar="N", help="use the first N test pictures")
    add("--out", type=Path, default=Path("runs/pipeline"), metavar="DIR", help="%(default)s")
    return parser.parse_args(argv)


def pipeline(args: argparse.Namespace) -> None:
    """All steps."""
    folder = find_cifar10(args.data)
    if folder is None:
        raise DataError("CIFAR-10 is needed: see --data")
    args.out.mkdir(parents=True, exist_ok=True)
    train, test = (
        first(datasets.CIFAR10(folder, train=part), limit)
        for part, limit in ((True, args.limit_train), (False, args.limit_test))
    )

    print("--- preprocess")
    data = preprocess_data(train, test, augmentation=RECIPE.augmentation)
    print(data.report)

    print("\n--- train and optimise")
    run = train_model(data, args.epochs)
    print(f"trained in {run.seconds:.0f} s")

    print("\n--- compress")
    compressed = compress_model(run.model, data, TARGET, epochs=args.epochs or 2)
    print(compressed.report)

    print("\n--- infer")
    model = classifier(compressed, data, train.classes)
    infer(model, data)

    print("\n--- deploy")
    picture, label = test[0]
    with deploy_model(model, args.out / "model.onnx") as address:
        answer = ask(address, picture)
        best = answer["classes"][0]
        print(f"{address} says: {best['name']} {best['probability']:.0%}, is {test.classes[label]}")
    print(f"wrote {args.out / 'model.onnx'}; serve it: minidl serve {args.out / 'model.onnx'}")


def classifier(compressed: Compressed, data: Preprocessed, classes: list[str]) -> Classifier:
    """The compressed network with what its users need to know."""
    results = {"test_accuracy": compressed.report.rows[-1].accuracy}
    mean, std = (tuple(map(float, numbers)) for numbers in (data.mean, data.std))
    return Classifier(compressed.model, list(classes), mean, std, results=results)


def main(argv: list[str] | None = None) -> int:
    """Run the program; the exit code."""
    try:
        pipeline(arguments(argv))
    except (DataError, RunError, OSError) as error:
        print(f"pipeline: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

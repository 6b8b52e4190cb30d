"""Train a small CNN on CIFAR-10, on a GPU if there is one.

    python examples/cifar_cnn.py                   the article's network and settings
    python examples/cifar_cnn.py --recipe fast     the best accuracy in about two minutes
    python examples/cifar_cnn.py --device cpu      (or cuda, cuda:1, emulator)

Looks for CIFAR-10 in --data, in $MINIDL_DATA and in the cache folder, and downloads it if
it is nowhere. Without a network it trains on built-in synthetic pictures and says so.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from minidl.cli.options import device, positive
from minidl.recipes import (
    RECIPES,
    DataError,
    Run,
    RunError,
    Stop,
    accuracy_of,
    find_cifar10,
    limited,
    load_data,
)

try:
    import figures
except ImportError:  # matplotlib is an extra; without it the run ends with its tables
    figures = None


# --------------------------------------------------------------------------- the report


def report(run: Run, args: argparse.Namespace, data: str, classes: list[str]) -> None:
    """Print the accuracy, per class too; write the JSON file and the pictures."""
    confusion = run.evaluate()
    accuracy = accuracy_of(confusion)
    rate = run.settings["train_pictures"] * run.epochs / run.seconds
    per_class = confusion.diagonal() / np.maximum(confusion.sum(1), 1)
    print(f"\n{'class':12} accuracy")
    for name, share in zip(classes, per_class):
        print(f"{name:12} {share:7.1%}  {'#' * round(40 * share)}")
    print(f"\ntest accuracy {accuracy:.2%} on {confusion.sum():,} pictures ({data})")
    print(f"trained in {run.seconds:.1f} s, {rate:,.0f} pictures/s")
    if args.json:
        results = {
            **run.settings,
            "device": str(run.device),
            "test_accuracy": accuracy,
            "train_seconds": run.seconds,
            "images_per_second": rate,
            "data": data,
            "test_pictures": int(confusion.sum()),
            "class_accuracy": dict(zip(classes, per_class.tolist())),
            "history": run.history,
        }
        write_json(args.json, results)
    if figures is not None:
        folder = args.checkpoint or Path("runs") / f"cifar_cnn-{args.recipe}"
        filters = next(run.model.parameters()).detach().cpu().numpy()
        for file in figures.draw(folder, run.history, confusion, classes, filters):
            print(f"drew {file}")


def write_json(file: Path, results: dict) -> None:
    """Write all of it or nothing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(file.name + ".partial")
    partial.write_text(json.dumps(results, indent=2) + "\n")
    partial.replace(file)


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--recipe", choices=RECIPES, default="article", help="default: %(default)s")
    add(
        "--data", type=Path, metavar="DIR", help="the folder that holds cifar-10-batches-py or -bin"
    )
    add("--epochs", type=positive, metavar="N", help="default: the recipe's")
    add("--batch-size", type=positive, metavar="N", help="default: the recipe's")
    add(
        "--device",
        type=device,
        default="auto",
        help="auto, cpu, cuda, cuda:1 or emulator; %(default)s: a GPU",
    )
    add("--seed", type=int, default=0, metavar="N", help="default: %(default)s")
    add("--limit-train", type=positive, metavar="N", help="train on the first N pictures only")
    add("--limit-test", type=positive, metavar="N", help="test on the first N pictures only")
    add("--checkpoint", type=Path, metavar="DIR", help="keep the last state of the run there")
    add("--resume", action="store_true", help="continue from the state in --checkpoint DIR")
    add("--json", type=Path, metavar="FILE", help="write the results to FILE")
    args = parser.parse_args(argv)
    if args.resume and args.checkpoint is None:
        parser.error("--resume needs --checkpoint DIR, the folder of the run to continue")
    return args


def train(args: argparse.Namespace) -> int:
    """Train, report, and return the exit code."""
    recipe = RECIPES[args.recipe]
    trainset, testset, data = load_data(recipe, find_cifar10(args.data))
    classes = trainset.classes
    run = Run(
        recipe,
        limited(trainset, args.limit_train),
        limited(testset, args.limit_test),
        epochs=args.epochs,
        batch_size=args.batch_size,
        seed=args.seed,
        device=args.device,
        checkpoint=args.checkpoint,
    )
    parameters = sum(p.numel() for p in run.model.parameters())
    print(f"{args.recipe}: {parameters:,} parameters, {run.settings['train_pictures']:,} pictures")
    if args.resume:
        run.resume()
    with Stop() as stop:
        run.train(stop)
    if stop.requested:
        run.save()
        kept = f"; continue with --resume --checkpoint {args.checkpoint}" if run.file else ""
        print(f"stopped in epoch {run.epoch + 1}{kept}", file=sys.stderr)
        return 130
    report(run, args, data, classes)
    return 0


def main(argv: list[str] | None = None) -> int:
    """Do what the command line says; bad data and disks end in one line."""
    try:
        return train(arguments(argv))
    except (DataError, RunError) as error:
        sys.exit(f"\n{error}")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # before the training, or a second one in it
        sys.exit("interrupted")

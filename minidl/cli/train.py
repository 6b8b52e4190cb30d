"""Train a network on CIFAR-10 and write the model.

examples:
  minidl train --recipe fast --out fast.safetensors
  minidl train --recipe article --epochs 1 --limit-train 2000 --out try.safetensors
  minidl train --recipe fast --checkpoint runs/fast --resume --out fast.safetensors
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from minidl.cli import options
from minidl.recipes import (
    RECIPES,
    Run,
    Stop,
    accuracy_of,
    classifier_of,
    find_cifar10,
    limited,
    load_data,
)


def add_arguments(command: argparse.ArgumentParser) -> None:
    """What `run` takes."""
    add = command.add_argument
    add("--recipe", choices=RECIPES, default="article", help="default: %(default)s")
    add("--out", type=Path, required=True, metavar="FILE", help="where the model goes")
    options.add_data(command)
    add("--limit-train", type=options.positive, metavar="N", help="train on the first N pictures")
    add("--epochs", type=options.positive, metavar="N", help="default: the recipe's")
    add("--batch-size", type=options.positive, metavar="N", help="default: the recipe's")
    add("--seed", type=int, default=0, metavar="N", help="default: %(default)s")
    add("--device", type=options.device, default="auto", help="default: a GPU, if there is one")
    add("--checkpoint", type=Path, metavar="DIR", help="keep the last state of the run there")
    add("--resume", action="store_true", help="go on from the state in --checkpoint")
    options.add_json(command)


def run(args: argparse.Namespace) -> int:
    """Train until done or interrupted; the model is written only if it is done."""
    if args.resume and args.checkpoint is None:
        print("minidl train: --resume needs --checkpoint DIR", file=sys.stderr)
        return 2
    recipe = RECIPES[args.recipe]
    trainset, testset, data = load_data(recipe, find_cifar10(args.data))
    training = Run(
        recipe,
        limited(trainset, args.limit_train),
        limited(testset, args.limit_test),
        epochs=args.epochs,
        batch_size=args.batch_size,
        seed=args.seed,
        device=args.device,
        checkpoint=args.checkpoint,
    )
    if args.resume:
        training.resume()
    with Stop() as stop:
        training.train(stop)
    if stop.requested:
        training.save()
        kept = "; go on with --resume" if args.checkpoint else ""
        print(f"minidl train: stopped in epoch {training.epoch + 1}{kept}", file=sys.stderr)
        return 130
    accuracy = accuracy_of(training.evaluate())
    model = classifier_of(recipe, training.model.cpu(), trainset.classes)
    model.results = {
        "data": data,
        "test_accuracy": accuracy,
        "train_seconds": training.seconds,
        **training.settings,
    }
    model.save(args.out)
    text = f"test accuracy {accuracy:.2%} ({data}), {training.seconds:.1f} s; wrote {args.out}"
    options.answer(args, {**model.results, "model": str(args.out)}, text)
    return 0

"""Say how many test pictures a model recognises, class by class.

examples:
  minidl evaluate fast.safetensors --data ~/cifar
  minidl evaluate fast.safetensors --limit-test 1000 --json
"""

from __future__ import annotations

import argparse

import numpy as np
from tqdm import tqdm

import minidl
from minidl.cli import options
from minidl.recipes import DataError, accuracy_of, confusion_of, find_cifar10, limited, load_model
from minidl.utils.data import DataLoader
from minidl.vision import datasets


def add_arguments(command: argparse.ArgumentParser) -> None:
    """What `run` takes."""
    options.add_model(command)
    options.add_data(command)
    options.add_json(command)


def run(args: argparse.Namespace) -> int:
    """Print the accuracy."""
    model = load_model(args.model)
    folder = find_cifar10(args.data)
    if folder is None:
        raise DataError("without CIFAR-10 there is nothing to evaluate on: see --data")
    testset = datasets.CIFAR10(folder, train=False, transform=model.transform)
    if testset.classes != model.classes:
        raise DataError(f"the model tells {model.classes} apart, CIFAR-10 has other classes")
    loader = DataLoader(limited(testset, args.limit_test), 500, num_workers=1)
    forward = minidl.compile(model.network.eval())
    confusion = confusion_of(forward, tqdm(loader, "testing", leave=False), len(model.classes))
    shares = confusion.diagonal() / np.maximum(confusion.sum(1), 1)
    facts = {
        "test_accuracy": accuracy_of(confusion),
        "test_pictures": int(confusion.sum()),
        "class_accuracy": dict(zip(model.classes, shares.tolist())),
    }
    lines = [f"{name:12} {share:7.1%}" for name, share in zip(model.classes, shares)]
    lines.append(f"{'all':12} {facts['test_accuracy']:7.2%} of {facts['test_pictures']:,} pictures")
    options.answer(args, facts, "\n".join(lines))
    return 0

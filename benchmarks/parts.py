"""Parts of a training run beside their peers: steps beside PyTorch's, augmentation beside Pillow's.

    python -m benchmarks.parts [--rounds N] [--json FILE]

Peer and minidl take turns in one process; a row is the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image

import minidl
from benchmarks import machine
from benchmarks.article_torch import Net, transform
from examples.cifar_cnn import ArticleNet, fast_net
from minidl import nn
from minidl.vision import datasets, transforms


def seconds(function: Callable[[], object], repeat: int) -> float:
    """The time of one call, the median of ``repeat``."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return median(times)


def training_step(library, model, pictures, labels) -> Callable[[], object]:
    """Forward, backward and update, in either library."""
    optimizer = library.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)
    criterion = library.nn.CrossEntropyLoss()

    def step() -> float:
        optimizer.zero_grad()
        loss = criterion(model(pictures), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def torch_fast_net() -> torch.nn.Sequential:
    """The network of the recipe "fast", with the same layers in the same order."""
    twins = {
        nn.Conv2d: lambda m: torch.nn.Conv2d(
            m.in_channels, m.out_channels, 3, padding=1, bias=False
        ),
        nn.BatchNorm2d: lambda m: torch.nn.BatchNorm2d(m.num_features),
        nn.ReLU: lambda m: torch.nn.ReLU(),
        nn.MaxPool2d: lambda m: torch.nn.MaxPool2d(2),
        nn.Flatten: lambda m: torch.nn.Flatten(),
        nn.Linear: lambda m: torch.nn.Linear(m.in_features, m.out_features),
    }
    return torch.nn.Sequential(*(twins[type(layer)](layer) for layer in fast_net()))


def steps(ours: nn.Module, theirs: torch.nn.Module, batch: int) -> tuple[Callable, Callable]:
    """The same training step in minidl and in PyTorch."""
    rng = np.random.default_rng(0)
    pictures = rng.random((batch, 3, 32, 32), np.float32)
    labels = rng.integers(0, 10, batch)
    return (
        training_step(minidl, ours, minidl.tensor(pictures), minidl.tensor(labels)),
        training_step(torch, theirs, torch.tensor(pictures), torch.tensor(labels)),
    )


def augmentation(count: int = 500) -> tuple[Callable, Callable]:
    """Flip, rotation and conversion of ``count`` pictures: whole batches, and one by one."""
    chain = transforms.Compose(
        [
            transforms.RandomHorizontalFlip(),
            transforms.RandomRotation(10),
            transforms.ToTensor(),
        ]
    )
    pictures = datasets.SyntheticPictures(size=count, transform=chain)
    images = [Image.fromarray(picture) for picture in pictures.data]
    indices = np.arange(count)

    def whole() -> None:
        with minidl.kernels.single_threaded():
            pictures.fetch_batch(indices, 0, 0)

    return whole, lambda: [transform(image) for image in images]


def main() -> None:
    """Measure, print the table and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="default: %(default)s")
    parser.add_argument("--json", type=Path, help="write the measurements to this file")
    args = parser.parse_args()
    rows = {
        "article, training step, batch 4": (steps(ArticleNet(), Net(), 4), 200),
        "article, training step, batch 128": (steps(ArticleNet(), Net(), 128), 20),
        "recipe fast, training step, batch 128": (steps(fast_net(), torch_fast_net(), 128), 5),
        "flip + rotation + ToTensor, 500 pictures, one thread": (augmentation(), 3),
    }
    print(machine.describe())
    print("| work | minidl, ms | peer, ms | times the peer's speed (range) |")
    print("|---|---|---|---|")
    results = {}
    for name, ((ours, theirs), repeat) in rows.items():
        ours(), theirs()
        pairs = [(seconds(ours, repeat), seconds(theirs, repeat)) for _ in range(args.rounds)]
        ratios = [peer / own for own, peer in pairs]
        own, peer = (1000 * median(times) for times in zip(*pairs))
        span = f"{median(ratios):.2f} ({min(ratios):.2f}..{max(ratios):.2f})"
        print(f"| {name} | {own:.2f} | {peer:.2f} | {span} |", flush=True)
        results[name] = {"seconds": pairs, "ratios": ratios}
    if args.json:
        args.json.write_text(
            json.dumps({"machine": machine.describe(), "results": results}, indent=2) + "\n"
        )


if __name__ == "__main__":
    main()

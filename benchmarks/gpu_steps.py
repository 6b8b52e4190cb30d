"""Whole training steps on a GPU, beside PyTorch's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import minidl
from benchmarks.gpu_work import Sizes, Work, peer_available, torch
from benchmarks.twins import on_torch
from minidl.recipes import ArticleNet
from minidl.vision.models import resnet

if torch is not None:
    from benchmarks.article_torch import Net


def training_steps(place: str, sizes: Sizes) -> Iterator[Work]:
    """The article's network at several batch sizes, and ResNet-18, on 32x32 pictures."""
    with_peer = peer_available(place)
    for batch in sizes.step_batches:
        theirs = _step(torch, Net(), "cuda", batch) if with_peer else None
        ours = _step(minidl, ArticleNet(), place, batch)
        yield _work(f"article network, training step, batch {batch}", ours, theirs)
    batch = sizes.resnet_batch
    theirs = None
    if with_peer:
        theirs = _step(torch, on_torch(resnet.__file__).resnet18(10), "cuda", batch)
    ours = _step(minidl, resnet.resnet18(10), place, batch)
    yield _work(f"ResNet-18, training step, batch {batch}", ours, theirs)


def _work(name: str, ours: Callable, theirs: Callable | None) -> Work:
    return Work(name, ours, theirs)


def _step(library: Any, model: Any, place: str, batch: int) -> Callable:
    """Forward, backward and update in either library, without waiting for the result."""
    rng = np.random.default_rng(0)
    model = model.to(place)
    pictures = library.tensor(rng.random((batch, 3, 32, 32), np.float32)).to(place)
    labels = library.tensor(rng.integers(0, 10, batch)).to(place)
    optimizer = library.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)
    criterion = library.nn.CrossEntropyLoss()

    def step() -> None:
        optimizer.zero_grad()
        criterion(model(pictures), labels).backward()
        optimizer.step()

    return step

"""Whole training steps on a GPU, as they come and compiled, beside PyTorch's and JAX's.

All of them compute in float32, without TF32, from the same weights and on the same batches,
which lie on the GPU. Nobody waits for a step to end before the next one starts.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import minidl
from benchmarks import data
from benchmarks.gpu_work import Sizes, Work, peer_available, torch
from benchmarks.twins import on_torch
from minidl.recipes import ArticleNet
from minidl.vision.models import resnet

if torch is not None:
    from benchmarks.article_torch import Net

try:
    from benchmarks import gpu_jax
except ImportError:  # the peer is optional
    gpu_jax = None

Step = Callable[[], Any]
"""Forward, backward and update on the next batch; returns the loss before it."""

_CHECKED = 100  # steps, after which the losses of all libraries must agree
_KINKS = 1e-3  # by how much of the loss: see `benchmarks.checks`
_COMPILED = 128  # the largest batch that all peers are timed at: they compile for minutes


def training_steps(place: str, sizes: Sizes) -> Iterator[Work]:
    """The article's network at several batch sizes, and ResNet-18, on 32x32 pictures."""
    if torch is not None:
        torch.backends.cudnn.allow_tf32 = False
    for batch in sizes.step_batches:
        for compiled in (False, True):
            yield _article(place, batch, compiled)
    batch = sizes.resnet_batch
    for compiled in (False, True):
        yield _resnet(place, batch, compiled)


def _article(place: str, batch: int, compiled: bool) -> Work:
    name = f"article network, training step, batch {batch}"
    peers: dict[str, Step] = {}
    if peer_available(place):
        peers["PyTorch"] = _step(torch, Net(), "cuda", batch)
        if compiled and batch <= _COMPILED:
            peers["torch.compile"] = _step(torch, Net(), "cuda", batch, _reduce_overhead)
            if gpu_jax is not None:
                peers["JAX"] = gpu_jax.training_step(data.batches(batch))
    ours = _ours(ArticleNet(), place, batch, compiled)
    if not compiled:
        return Work(name, ours, peers)
    checked = _CHECKED if place == "cuda" else 5
    references = {**peers, "the CPU": _step(minidl, ArticleNet(), "cpu", batch)}
    return Work(
        f"{name}, compiled",
        ours,
        peers,
        error=lambda: _distance(ours, references.values(), checked),
        allowed=_KINKS,
    )


def _resnet(place: str, batch: int, compiled: bool) -> Work:
    peers = {}
    if peer_available(place):
        peers["PyTorch"] = _step(torch, on_torch(resnet.__file__).resnet18(10), "cuda", batch)
    name = f"ResNet-18, training step, batch {batch}{', compiled' if compiled else ''}"
    return Work(name, _ours(resnet.resnet18(10), place, batch, compiled), peers)


def _ours(model: Any, place: str, batch: int, compiled: bool) -> Step:
    return _step(minidl, model, place, batch, whole=minidl.compile if compiled else None)


def _step(
    library: Any,
    model: Any,
    place: str,
    batch: int,
    compiled_loss: Callable | None = None,
    whole: Callable | None = None,
) -> Step:
    """A step in either library; its loss, or the step as a whole, compiled."""
    shapes = {name: tuple(value.shape) for name, value in model.named_parameters()}
    numbers = {name: data.parameter(name, shape) for name, shape in shapes.items()}
    model.load_state_dict({k: library.tensor(v) for k, v in numbers.items()}, strict=False)
    model = model.to(place)
    optimizer = library.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)
    criterion = library.nn.CrossEntropyLoss()

    def loss_of(pictures: Any, labels: Any) -> Any:
        return criterion(model(pictures), labels)

    loss_of = compiled_loss(loss_of) if compiled_loss else loss_of

    def step(pictures: Any, labels: Any) -> Any:
        optimizer.zero_grad()
        loss = loss_of(pictures, labels)
        loss.backward()
        optimizer.step()
        return loss

    step = whole(step) if whole else step
    batches = itertools.cycle(
        [library.tensor(array).to(place) for array in pair] for pair in data.batches(batch)
    )
    return lambda: step(*next(batches))


def _reduce_overhead(loss_of: Callable) -> Callable:
    return torch.compile(loss_of, mode="reduce-overhead")


def _distance(ours: Step, others: Any, steps: int) -> float:
    """After so many steps, by how much the losses differ from ours, as a share of it."""
    losses = [_last_loss(step, steps) for step in (ours, *others)]
    return float(np.max(np.abs(np.array(losses) / losses[0] - 1)))


def _last_loss(step: Step, steps: int) -> float:
    for _ in range(steps - 1):
        step()
    return step().item()

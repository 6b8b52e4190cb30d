"""What a model says of pictures while it is explained: its logits, and those in question."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from minidl import ops
from minidl.autograd import enable_grad
from minidl.nn import Module
from minidl.tensor import Tensor

Target = int | Sequence[int] | None


@contextlib.contextmanager
def explaining(model: Module) -> Iterator[None]:
    """Within the block ``model`` is in evaluation mode, and operations are recorded.

    Afterwards both are as they were, each module's mode by itself.
    """
    if not isinstance(model, Module):
        raise TypeError(f"what can be explained is a Module, got {type(model).__name__}")
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with enable_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training


def logits_of(model: Module, pictures: Tensor) -> Tensor:
    """The model's logits, (N, classes).

    It gets a copy of the pictures: its first layer may work in place.
    """
    logits = model(pictures.clone())
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(pictures):
        found = f"shape {logits.shape}" if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(
            f"a model is explained by its logits, ({len(pictures)}, classes) for "
            f"{len(pictures)} pictures; this one returns {found}"
        )
    return logits


def classes_of(logits: Tensor, target: Target | np.ndarray) -> np.ndarray:
    """The class in question of each picture, int64 (N,): ``target``, or the top one if None.

    ValueError if there is no such class, or not one for each picture.
    """
    if target is None:
        return logits.detach().argmax(1).cpu().numpy()
    count, classes = logits.shape
    found = _integers(target)
    if found is None or found.shape not in ((), (count,)):
        raise ValueError(
            f"target is a class, a sequence with one for each of {count} pictures, or None for "
            f"the model's own choice; got {target!r}"
        )
    if found.min() < 0 or found.max() >= classes:
        raise ValueError(
            f"target is out of range: the classes are 0 to {classes - 1}, got {target!r}"
        )
    return np.broadcast_to(found, (count,)).astype(np.int64)


def _integers(target: Any) -> np.ndarray | None:
    """The numbers of a target; None if it is of anything but integers."""
    try:
        found = np.asarray(target)
    except ValueError:  # a ragged sequence
        return None
    return found if found.dtype.kind in "iu" else None


def scores_of(scores: Tensor, classes: np.ndarray) -> Tensor:
    """Each picture's score for its class, (N,), of scores for all classes, (N, classes)."""
    index = ops.tensor(classes[:, None], device=scores.device)
    return scores.gather(1, index).squeeze(1)

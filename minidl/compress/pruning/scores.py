"""How much a weight matters, and which weights stay.

A score says so for each weight: its magnitude, chance, or how far training has moved it away from
zero. Those with the lowest scores go.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

import minidl
from minidl import nn
from minidl.compress.pruning.masks import Amount, Where, is_masked, masked
from minidl.tensor import Tensor


def magnitude(module: nn.Module, name: str) -> np.ndarray:
    """The absolute values of a parameter."""
    return np.abs(_weight(module, name))


def chance(module: nn.Module, name: str, generator: np.random.Generator) -> np.ndarray:
    """Random scores."""
    return generator.random(_weight(module, name).shape)


class MovementScores:
    """Sums of ``-weight * gradient`` over training steps: large where weights move away from zero.

    Call `update` after each ``backward``; ``scores[(module, name)]`` are the sums.
    Source: https://arxiv.org/abs/2005.07683
    """

    def __init__(self, parameters: Iterable[Where]):
        self.parameters = list(parameters)
        self._sums = [np.zeros_like(_weight(*where)) for where in self.parameters]

    def update(self) -> None:
        """Add this step's; RuntimeError if a parameter has no gradient."""
        for (module, name), sums in zip(self.parameters, self._sums):
            learnt = getattr(module, f"{name}_orig" if is_masked(module, name) else name)
            if learnt.grad is None:
                raise RuntimeError(f"{name!r} has no gradient: call update() after backward()")
            sums -= learnt.detach().cpu().numpy() * learnt.grad.detach().cpu().numpy()

    def of(self, module: nn.Module, name: str) -> np.ndarray:
        """The sums of a parameter; a `Score` for `global_unstructured` and `GradualPruning`."""
        for (known, its_name), sums in zip(self.parameters, self._sums):
            if known is module and its_name == name:
                return sums
        raise ValueError(f"{name!r} of {type(module).__name__} is not among the parameters")


def _weight(module: nn.Module, name: str) -> np.ndarray:
    tensor = masked(module, name) if is_masked(module, name) else getattr(module, name)
    return tensor.detach().cpu().numpy()


def left(module: nn.Module, name: str) -> np.ndarray:
    """Which weights of a parameter are not pruned, boolean."""
    if is_masked(module, name):
        return getattr(module, f"{name}_mask").cpu().numpy() != 0
    return np.ones(getattr(module, name).shape, bool)


def count(amount: Amount, total: int) -> int:
    """How many of ``total`` an amount is; ValueError if it is more, or negative."""
    found = round(amount * total) if isinstance(amount, float) else amount
    if not 0 <= found <= total or (isinstance(amount, float) and not 0 <= amount <= 1):
        raise ValueError(f"cannot prune {amount} of {total}: a share from 0 to 1, or a number")
    return found


def without_lowest(scores: np.ndarray, there: np.ndarray, number: int) -> np.ndarray:
    """What is left of ``there`` without the ``number`` elements with the lowest scores."""
    kept = there.ravel().copy()
    places = np.flatnonzero(kept)
    order = np.argsort(scores.ravel()[places], kind="stable")
    kept[places[order[:number]]] = False
    return kept.reshape(there.shape)


def as_mask(kept: np.ndarray, like: Tensor) -> Tensor:
    """A boolean array as a mask where a tensor is."""
    return minidl.from_numpy(kept.astype(np.float32)).to(device=like.device, dtype=like.dtype)

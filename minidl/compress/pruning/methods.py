"""Which weights to prune: of one parameter or of many together, single ones, rows, or N of M."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from minidl import nn
from minidl.compress.pruning.masks import Amount, Where, custom_from_mask, is_masked
from minidl.compress.pruning.scores import (
    as_mask,
    chance,
    count,
    left,
    magnitude,
    without_lowest,
)

Score = Callable[[nn.Module, str], np.ndarray]
"""Of a module and a parameter's name: a number for each weight, low where it may go."""


def l1_unstructured(module: nn.Module, name: str, amount: Amount) -> nn.Module:
    """Prune the ``amount`` of weights that are smallest in magnitude."""
    return _prune(module, name, magnitude(module, name), amount)


def random_unstructured(module: nn.Module, name: str, amount: Amount, seed: int = 0) -> nn.Module:
    """Prune an ``amount`` of weights by chance."""
    scores = chance(module, name, np.random.default_rng(seed))
    return _prune(module, name, scores, amount)


def ln_structured(
    module: nn.Module, name: str, amount: Amount, n: float = 2, dim: int = 0
) -> nn.Module:
    """Prune an ``amount`` of the slices along ``dim`` that have the smallest n-norms."""
    scores = magnitude(module, name)
    others = tuple(i for i in range(scores.ndim) if i != dim % scores.ndim)
    whole = np.linalg.norm(np.moveaxis(scores, dim, 0).reshape(scores.shape[dim], -1), n, axis=1)
    return _prune_slices(module, name, whole, amount, others)


def random_structured(
    module: nn.Module, name: str, amount: Amount, dim: int = 0, seed: int = 0
) -> nn.Module:
    """Prune an ``amount`` of the slices along ``dim`` by chance."""
    shape = left(module, name).shape
    others = tuple(i for i in range(len(shape)) if i != dim % len(shape))
    return _prune_slices(
        module, name, np.random.default_rng(seed).random(shape[dim]), amount, others
    )


def n_m_structured(module: nn.Module, name: str, n: int = 2, m: int = 4, dim: int = 1) -> nn.Module:
    """Of each ``m`` neighbours along ``dim``, keep the ``n`` largest in magnitude.

    2 of 4 is what NVIDIA's sparse tensor cores take. Neighbours at the end that are fewer than
    ``m`` all stay. Source: https://arxiv.org/abs/2104.08378
    """
    if not 0 < n < m:
        raise ValueError(f"keeps n of m with 0 < n < m, got n={n}, m={m}")
    scores = np.moveaxis(magnitude(module, name), dim, -1)
    whole = scores.shape[-1] // m * m
    groups = scores[..., :whole].reshape(*scores.shape[:-1], -1, m)
    ranks = np.argsort(np.argsort(-groups, axis=-1, kind="stable"), axis=-1, kind="stable")
    kept = np.ones(scores.shape, bool)
    kept[..., :whole] = (ranks < n).reshape(*scores.shape[:-1], whole)
    return _hold(module, name, np.moveaxis(kept, -1, dim))


def global_unstructured(
    parameters: Iterable[Where], amount: Amount, score: Score = magnitude
) -> None:
    """Prune an ``amount`` of the weights of all ``parameters``, those with the lowest scores."""
    parameters = list(parameters)
    if not parameters:
        raise ValueError("there are no parameters to prune")
    there = [left(*where).ravel() for where in parameters]
    scores = [score(*where).ravel() for where in parameters]
    number = count(amount, int(sum(each.sum() for each in there)))
    kept = without_lowest(np.concatenate(scores), np.concatenate(there), number)
    ends = np.cumsum([len(each) for each in there])[:-1]
    for (module, name), part in zip(parameters, np.split(kept, ends)):
        _hold(module, name, part.reshape(left(module, name).shape))


def weights_of(model: nn.Module) -> list[Where]:
    """The weights of all convolutions and linear layers: what is worth pruning."""
    kinds = nn.Conv1d | nn.Conv2d | nn.ConvTranspose2d | nn.Linear
    return [(module, "weight") for module in model.modules() if isinstance(module, kinds)]


def _prune(module: nn.Module, name: str, scores: np.ndarray, amount: Amount) -> nn.Module:
    there = left(module, name)
    number = count(amount, int(there.sum()))
    return _hold(module, name, without_lowest(scores, there, number))


def _prune_slices(
    module: nn.Module, name: str, scores: np.ndarray, amount: Amount, others: tuple[int, ...]
) -> nn.Module:
    there = left(module, name)
    slices = there.any(others)
    kept = without_lowest(scores, slices, count(amount, int(slices.sum())))
    return _hold(module, name, there & np.expand_dims(kept, others))


def _hold(module: nn.Module, name: str, kept: np.ndarray) -> nn.Module:
    learnt = getattr(module, f"{name}_orig" if is_masked(module, name) else name, None)
    if learnt is None:
        raise ValueError(f"{type(module).__name__} has no parameter {name!r}")
    return custom_from_mask(module, name, as_mask(kept, learnt))

"""Channels removed for good: the network is built anew, and smaller."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np

import minidl
from minidl import nn, ops
from minidl.compress.counting import multiply_adds
from minidl.compress.pruning.channels import Channels, Use
from minidl.compress.trace import trace
from minidl.tensor import Tensor

Importance = Callable[[nn.Module], np.ndarray]
"""Of a layer: a number for each of its output channels, low where it may go."""

_BISECTIONS = 12


def filter_norms(module: nn.Module) -> np.ndarray:
    """The length of each filter's weights, relative to the mean of the layer's."""
    weight = module.weight.detach().cpu().numpy()
    norms = np.linalg.norm(weight.reshape(len(weight), -1), axis=1)
    return norms / max(float(norms.mean()), np.finfo(np.float32).tiny)


def prune_channels(
    model: nn.Module,
    example: Tensor,
    amount: float,
    importance: Importance = filter_norms,
    per_layer: bool = False,
    round_to: int = 1,
) -> nn.Module:
    """A copy of the model without a share of its channels, really smaller.

    The model runs on ``example``, to see which channels belong together (see
    `minidl.compress.pruning.channels`); of those, all go or none. Where a residual connection or an
    unknown operator forbids it, none goes, and each layer keeps at least one.

    Parameters
    ----------
    model : Module
        In evaluation mode it computes the same as without the channels whose filters, and what
        norms add to them, are zero.
    example : Tensor
        An input, of a batch.
    amount : float
        The share of the removable channels that go, from 0 to below 1.
    importance : callable
        See `Importance`; for channels that belong together the numbers are averaged.
    per_layer : bool
        Whether each layer loses this share, or all together.
    round_to : int
        Layers keep a multiple of so many channels, which kernels may prefer; layers of less than
        three times as many keep a multiple of half of it, or a quarter, and so on.

    Raises
    ------
    ValueError
        If the amount is out of range, or no channel can be removed.
    """
    if not 0 <= amount < 1:
        raise ValueError(f"the amount is a share from 0 to below 1, got {amount}")
    model = copy.deepcopy(model)
    channels = Channels(trace(model.eval(), example))
    removable = channels.removable()
    if not removable:
        raise ValueError("no channel can be removed: each is tied to an input or output")
    scores = _scores(channels, removable, importance)
    removed = _chosen(channels, scores, amount, per_layer, round_to)
    for use in channels.uses:
        kept = ~np.isin(channels.roots(use.labels), list(removed))
        _shrink(use, np.flatnonzero(kept))
    return model


def prune_channels_to(
    model: nn.Module, example: Tensor, share: float, **options: object
) -> nn.Module:
    """`prune_channels` with the smallest amount that leaves this share of the multiply-adds.

    ValueError if even the largest amount leaves more.
    """
    whole = multiply_adds(model, example)
    low, high, found = 0.0, 0.999, None
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        pruned = prune_channels(model, example, middle, **options)
        if multiply_adds(pruned, example) <= share * whole:
            high, found = middle, pruned
        else:
            low = middle
    if found is None:
        raise ValueError(f"no amount of channels leaves {share:.0%} of the multiply-adds")
    return found


def _scores(channels: Channels, removable: set[int], importance: Importance) -> dict[int, float]:
    """The mean importance of the channels behind each root."""
    found: dict[int, list[float]] = {root: [] for root in removable}
    for use in channels.uses:
        if use.side != "out":
            continue
        for root, score in zip(channels.roots(use.labels), importance(use.module)):
            if root in found:
                found[root].append(float(score))
    return {root: float(np.mean(scores)) for root, scores in found.items()}


def _chosen(
    channels: Channels, scores: dict[int, float], amount: float, per_layer: bool, round_to: int
) -> set[int]:
    """The roots that go: the lowest of all, or of each layer."""
    order = sorted(scores, key=scores.get)
    lowest = set(order[: int(amount * len(order))])
    removed: set[int] = set()
    settled: set[int] = set()
    for use in channels.uses:
        roots = [int(root) for root in channels.roots(use.labels)]
        mine = [root for root in dict.fromkeys(roots) if root in scores]
        if use.side != "out" or not mine or settled.issuperset(mine):
            continue
        settled.update(mine)
        number = int(amount * len(mine)) if per_layer else len(lowest.intersection(mine))
        fixed = len(set(roots)) - len(mine)
        number = _rounded(number, len(mine), fixed, round_to)
        removed.update(sorted(mine, key=scores.get)[:number])
    return removed


def _rounded(number: int, removable: int, fixed: int, round_to: int) -> int:
    """How many go, so that what stays is at least one and a multiple."""
    size = removable + fixed
    while round_to > 1 and 3 * round_to > size:
        round_to //= 2
    stays = max(-(-(size - number) // round_to) * round_to, 1)
    return max(size - stays, 0)


# --------------------------------------------------------------------------- the smaller layers


def _shrink(use: Use, kept: np.ndarray) -> None:
    """Leave the channels at the places ``kept``."""
    module = use.module
    if use.side == "in":
        module.weight = _part(module.weight, kept, 1)
        _rename(module, "in", len(kept))
        return
    for name, tensor in _own_tensors(module):
        if tensor.ndim:
            setattr(module, name, _part(tensor, kept, 0))
    _rename(module, "out", len(kept))
    if use.side == "both" and isinstance(module, nn.Conv2d):
        module.in_channels = module.groups = len(kept)


def _own_tensors(module: nn.Module) -> list[tuple[str, Tensor]]:
    return [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]


def _part(tensor: Tensor, kept: np.ndarray, axis: int) -> Tensor:
    places = minidl.tensor(kept, device=tensor.device)
    part = ops.index_select(tensor.detach(), axis, places)
    return nn.Parameter(part, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else part


def _rename(module: nn.Module, side: str, size: int) -> None:
    """Bring the sizes that a layer shows up to date."""
    for name in (f"{side}_channels", f"{side}_features", "num_features"):
        if hasattr(module, name):
            setattr(module, name, size)

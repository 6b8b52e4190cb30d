"""Smaller learning rates once nothing gets better any more."""

from __future__ import annotations

import math
from typing import Any

from minidl.optim.lr_scheduler.base import LRScheduler, check_optimizer, per_group
from minidl.optim.optimizer import Optimizer


class ReduceLROnPlateau(LRScheduler):
    """``lr *= factor`` once a metric has not got better for ``patience`` epochs.

    Parameters
    ----------
    optimizer : Optimizer
        Whose rates are set.
    mode : {"min", "max"}
        Whether a smaller or a larger metric is better.
    factor : float
        Below 1.
    patience : int
        How many epochs without improvement are borne.
    threshold : float
        How much better counts as better.
    threshold_mode : {"rel", "abs"}
        Whether the threshold is a part of the best metric or a difference.
    cooldown : int
        How many epochs after a change do not count.
    min_lr : float or list of float
        Where the rates stay, for all groups or for each.
    eps : float
        Changes not larger than this are not made.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | list[float] = 0.0,
        eps: float = 1e-8,
    ):
        check_optimizer(optimizer)
        if not factor < 1:
            raise ValueError(f"ReduceLROnPlateau: factor is below 1, got {factor}")
        if mode not in ("min", "max"):
            raise ValueError(f'ReduceLROnPlateau: mode is "min" or "max", got {mode!r}')
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(
                f'ReduceLROnPlateau: threshold_mode is "rel" or "abs", got {threshold_mode!r}'
            )
        self.optimizer = optimizer
        self.mode = mode
        self.factor = factor
        self.patience = patience
        self.threshold = threshold
        self.threshold_mode = threshold_mode
        self.cooldown = cooldown
        self.min_lrs = per_group(min_lr, optimizer, "min_lr")
        self.eps = eps
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = 0
        self.cooldown_counter = 0
        self.last_epoch = 0
        self._last_lr = self._current()

    def step(self, metrics: Any) -> None:
        """Look at the epoch's metric (a number or a 0-d tensor), and reduce the rates if due."""
        metric = float(metrics)
        self.last_epoch += 1
        better = self._is_better(metric)
        if better:
            self.best = metric
        self.num_bad_epochs = 0 if better else self.num_bad_epochs + 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
        self._last_lr = self._current()

    def _is_better(self, metric: float) -> bool:
        sign = 1 if self.mode == "max" else -1
        if self.threshold_mode == "rel":
            limit = self.best * (1 + sign * self.threshold)
        else:
            limit = self.best + sign * self.threshold
        return metric > limit if self.mode == "max" else metric < limit

    def _reduce(self) -> None:
        for group, lowest in zip(self.optimizer.param_groups, self.min_lrs):
            reduced = max(group["lr"] * self.factor, lowest)
            if group["lr"] - reduced > self.eps:
                group["lr"] = reduced

"""One cycle of learning rate and momentum."""

from __future__ import annotations

import math
from typing import Any

from minidl.optim.lr_scheduler.base import LRScheduler, check_optimizer, per_group
from minidl.optim.optimizer import Optimizer


class OneCycleLR(LRScheduler):
    """One cycle: up to ``max_lr``, down to almost nothing; the momentum the other way round.

    Call `step` after every batch.

    Parameters
    ----------
    optimizer : Optimizer
        One with a momentum or betas if ``cycle_momentum``.
    max_lr : float or list of float
        The peak, for all groups or for each.
    total_steps : int, optional
        The length of the cycle; by default ``epochs * steps_per_epoch``.
    epochs, steps_per_epoch : int, optional
        In the place of ``total_steps``.
    pct_start : float
        The part of the cycle in which the rate rises, in [0, 1].
    anneal_strategy : {"cos", "linear"}
        The shape of the slopes.
    cycle_momentum : bool
        Whether the momentum (or beta1) goes from ``max_momentum`` to ``base_momentum`` and back.
    base_momentum, max_momentum : float or list of float
        Its bounds.
    div_factor, final_div_factor : float
        ``initial_lr = max_lr / div_factor`` and ``min_lr = initial_lr / final_div_factor``.
    three_phase : bool
        Down to ``initial_lr`` as symmetrically as up, then from there to ``min_lr``.
    last_epoch : int
        See `LRScheduler`.

    Source: L. Smith, N. Topin, "Super-convergence", https://arxiv.org/abs/1708.07120
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ):
        check_optimizer(optimizer)
        if not 0 <= pct_start <= 1:
            raise ValueError(f"OneCycleLR: pct_start lies in [0, 1], got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f'OneCycleLR: anneal_strategy is "cos" or "linear", got {anneal_strategy!r}'
            )
        self.total_steps = _total_steps(total_steps, epochs, steps_per_epoch)
        self.anneal_strategy = anneal_strategy
        self.cycle_momentum = cycle_momentum
        self.phases = self._phases(pct_start, three_phase)
        peaks = per_group(max_lr, optimizer, "max_lr")
        highs = per_group(max_momentum, optimizer, "max_momentum")
        lows = per_group(base_momentum, optimizer, "base_momentum")
        if cycle_momentum and not {"momentum", "betas"} & optimizer.defaults.keys():
            raise ValueError(
                f"OneCycleLR: {type(optimizer).__name__} has neither a momentum nor betas; "
                "pass cycle_momentum=False"
            )
        if last_epoch == -1:
            for group, peak, high, low in zip(optimizer.param_groups, peaks, highs, lows):
                group["initial_lr"] = peak / div_factor
                group["max_lr"] = peak
                group["min_lr"] = group["initial_lr"] / final_div_factor
                if cycle_momentum:
                    group["max_momentum"], group["base_momentum"] = high, low
        super().__init__(optimizer, last_epoch)

    def _phases(self, pct_start: float, three_phase: bool) -> list[tuple]:
        """For each phase its last step, and the group's keys for its rates and momenta."""
        rise = pct_start * self.total_steps - 1
        end = self.total_steps - 1
        up = (rise, "initial_lr", "max_lr", "max_momentum", "base_momentum")
        if not three_phase:
            return [up, (end, "max_lr", "min_lr", "base_momentum", "max_momentum")]
        down = (2 * rise, "max_lr", "initial_lr", "base_momentum", "max_momentum")
        return [up, down, (end, "initial_lr", "min_lr", "max_momentum", "max_momentum")]

    def get_lr(self) -> list[float]:
        if self.last_epoch > self.total_steps:
            raise ValueError(
                f"OneCycleLR: step {self.last_epoch} of a cycle of {self.total_steps} steps"
            )
        (_, lr0, lr1, momentum0, momentum1), progress = self._position()
        groups = self.optimizer.param_groups
        if self.cycle_momentum:
            for group in groups:
                _set_momentum(group, self._between(group[momentum0], group[momentum1], progress))
        return [self._between(group[lr0], group[lr1], progress) for group in groups]

    def _position(self) -> tuple[tuple, float]:
        """The phase of this step, and how far it has come there."""
        start = 0.0
        for phase in self.phases[:-1]:
            if self.last_epoch <= phase[0]:
                return phase, _progress(self.last_epoch, start, phase[0])
            start = phase[0]
        return self.phases[-1], _progress(self.last_epoch, start, self.phases[-1][0])

    def _between(self, start: float, end: float, progress: float) -> float:
        if self.anneal_strategy == "linear":
            return start + (end - start) * progress
        return end + (start - end) / 2.0 * (1 + math.cos(math.pi * progress))


def _total_steps(total: int | None, epochs: int | None, per_epoch: int | None) -> int:
    if total is None and (epochs is None or per_epoch is None):
        raise ValueError("OneCycleLR: give total_steps, or epochs and steps_per_epoch")
    steps = epochs * per_epoch if total is None else total
    if not isinstance(steps, int) or steps < 1:
        raise ValueError(f"OneCycleLR: the number of steps is a positive integer, got {steps}")
    return steps


def _progress(step: int, start: float, end: float) -> float:
    return (step - start) / (end - start) if end != start else 1.0


def _set_momentum(group: dict[str, Any], momentum: float) -> None:
    if "betas" in group:
        group["betas"] = (momentum, *group["betas"][1:])
    else:
        group["momentum"] = momentum

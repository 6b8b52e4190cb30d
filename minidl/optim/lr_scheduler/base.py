"""What all schedules share."""

from __future__ import annotations

from typing import Any

from minidl.autograd import change
from minidl.optim.optimizer import Optimizer


class LRScheduler:
    """Base of the schedules; a subclass says in `get_lr` what the rates become.

    Parameters
    ----------
    optimizer : Optimizer
        Whose ``param_groups[i]["lr"]`` is set.
    last_epoch : int
        The last step that was made, to go on from; -1 starts afresh from the rates that
        the optimizer has. Loading a `state_dict` is the better way to go on.

    Attributes
    ----------
    last_epoch : int
        The number of calls of `step`.
    base_lrs : list of float
        The rate of each group at the start.
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1):
        check_optimizer(optimizer)
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(
                    f"to go on from epoch {last_epoch}, parameter group {i} of the optimizer "
                    'needs its "initial_lr": load the state of the optimizer first'
                )
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self.step()

    def get_lr(self) -> list[float]:
        """The rate of each group in step ``last_epoch``, given that of the step before."""
        raise NotImplementedError(f"{type(self).__name__} does not say what the rates become")

    def step(self) -> None:
        """Go on by one step and set the optimizer's learning rates."""
        change(f"{type(self).__name__}.step", self._advance)

    def _advance(self) -> None:
        self.last_epoch += 1
        for group, lr in zip(self.optimizer.param_groups, self.get_lr()):
            group["lr"] = lr
        self._last_lr = self._current()

    def get_last_lr(self) -> list[float]:
        """The rate of each group as the last step set it."""
        return self._last_lr

    def _current(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """All that the schedule knows, apart from the optimizer and functions it was given."""
        hidden = ("optimizer", "lr_lambdas")
        return {name: value for name, value in vars(self).items() if name not in hidden}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned; load the optimizer's state as well."""
        unknown = state_dict.keys() - self.state_dict().keys()
        if unknown:
            raise ValueError(f"{type(self).__name__} has no state called {sorted(unknown)}")
        vars(self).update(state_dict)


def check_optimizer(optimizer: Any) -> None:
    """TypeError if that is no optimizer."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"a schedule wants an Optimizer, got {type(optimizer).__name__}")


def per_group(value: Any, optimizer: Optimizer, name: str) -> list:
    """One value per parameter group; ValueError if a list is not as long as there are groups."""
    count = len(optimizer.param_groups)
    if not isinstance(value, list | tuple):
        return [value] * count
    if len(value) != count:
        raise ValueError(f"{name}: {len(value)} values for {count} parameter groups")
    return list(value)

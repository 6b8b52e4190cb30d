"""Training that goes on: to win back what compression has cost."""

from __future__ import annotations

from collections.abc import Callable

from tqdm import tqdm

import minidl
from minidl import nn, optim
from minidl.compress.distill import DistillationLoss
from minidl.nn import functional as F
from minidl.tensor import Tensor
from minidl.utils.data import DataLoader

_MAX_NORM = 1.0  # of a gradient: a step too far loses what compression has left


def fine_tune(
    model: nn.Module,
    loader: DataLoader,
    epochs: int,
    *,
    lr: float = 0.02,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    teacher: nn.Module | None = None,
    temperature: float = 2.0,
    alpha: float = 0.7,
    after_step: Callable[[], None] | None = None,
    label: str = "fine-tuning",
) -> None:
    """Train a model in place, by Nesterov SGD under a one-cycle schedule.

    Parameters
    ----------
    model : Module
        Left in evaluation mode.
    loader : DataLoader
        Batches of inputs and labels.
    epochs : int
        How often it goes through them.
    lr, momentum, weight_decay : float
        The learning rate is the highest of the schedule.
    teacher : Module, optional
        Whose answers the model shall learn, too: see `DistillationLoss`.
    temperature, alpha : float
        Of that loss.
    after_step : callable, optional
        Called after each step, such as ``GradualPruning.step``.
    label : str
        What the progress bar says.
    """
    total = epochs * len(loader)
    optimizer = optim.SGD(
        model.parameters(), lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=True
    )
    schedule = optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=lr, total_steps=total, pct_start=0.2, cycle_momentum=False
    )
    step = minidl.compile(_step(model, optimizer, teacher, DistillationLoss(temperature, alpha)))
    model.train()
    with tqdm(total=total, desc=label, unit="step", leave=False) as bar:
        for _ in range(epochs):
            for inputs, labels in loader:
                step(inputs, labels)
                schedule.step()
                if after_step is not None:
                    after_step()
                bar.update()
    model.eval()


def _step(
    model: nn.Module,
    optimizer: optim.Optimizer,
    teacher: nn.Module | None,
    distillation: DistillationLoss,
) -> Callable[[Tensor, Tensor], Tensor]:
    if teacher is not None:
        teacher.eval()

    def step(inputs: Tensor, labels: Tensor) -> Tensor:
        optimizer.zero_grad()
        logits = model(inputs)
        if teacher is None:
            loss = F.cross_entropy(logits, labels)
        else:
            with minidl.no_grad():
                wanted = teacher(inputs)
            loss = distillation(logits, wanted, labels)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), _MAX_NORM)
        optimizer.step()
        return loss.detach()

    return step

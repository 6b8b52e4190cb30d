"""Recipes: a network, its data's transforms, and how it is trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from minidl import nn, optim
from minidl.recipes.networks import ArticleNet, fast_net
from minidl.vision import transforms


@dataclass
class Recipe:
    """What to train and how; ``optimizer`` gets the model and the number of steps."""

    name: str
    model: Callable[[], nn.Module]
    epochs: int
    batch_size: int
    augmentation: list
    normalisation: list
    optimizer: Callable[[nn.Module, int], tuple[optim.Optimizer, optim.lr_scheduler.LRScheduler]]


def article_optimizer(model: nn.Module, steps: int) -> tuple:
    """SGD with a constant learning rate."""
    optimizer = optim.SGD(model.parameters(), lr=0.001, momentum=0.9)
    return optimizer, optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)


def fast_optimizer(model: nn.Module, steps: int) -> tuple:
    """Nesterov SGD under a one-cycle schedule."""
    optimizer = optim.SGD(
        model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
    schedule = optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.2, total_steps=steps, pct_start=0.25, cycle_momentum=False
    )
    return optimizer, schedule


RECIPES = {
    "article": Recipe(
        "article",
        ArticleNet,
        epochs=2,
        batch_size=4,
        augmentation=[transforms.RandomHorizontalFlip(), transforms.RandomRotation(10)],
        normalisation=[],
        optimizer=article_optimizer,
    ),
    "fast": Recipe(
        "fast",
        fast_net,
        epochs=3,
        batch_size=128,
        augmentation=[transforms.RandomHorizontalFlip(), transforms.RandomCrop(32, padding=2)],
        normalisation=[transforms.Normalize((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))],
        optimizer=fast_optimizer,
    ),
}

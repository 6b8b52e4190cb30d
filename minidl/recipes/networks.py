"""The networks of the recipes."""

from __future__ import annotations

import itertools

import minidl
from minidl import nn


class ArticleNet(nn.Module):
    """The article's network: two convolutions, three linear layers, 62,006 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 5)
        self.pool = nn.MaxPool2d(2, 2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x: minidl.Tensor) -> minidl.Tensor:
        """(N, 3, 32, 32) pictures to (N, 10) logits."""
        x = self.pool(nn.functional.relu(self.conv1(x)))
        x = self.pool(nn.functional.relu(self.conv2(x)))
        x = x.flatten(1)
        x = nn.functional.relu(self.fc1(x))
        x = nn.functional.relu(self.fc2(x))
        return self.fc3(x)


def fast_net() -> nn.Sequential:
    """Four 3x3 convolutions with batch norm, each followed by 2x2 max pooling."""

    def block(inputs: int, outputs: int) -> list[nn.Module]:
        return [
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.MaxPool2d(2),  # before ReLU, which commutes with it and then has a quarter to do
            nn.ReLU(),
        ]

    widths = [3, 24, 48, 96, 192]
    blocks = [layer for pair in itertools.pairwise(widths) for layer in block(*pair)]
    return nn.Sequential(*blocks, nn.Flatten(), nn.Linear(192 * 2 * 2, 10))

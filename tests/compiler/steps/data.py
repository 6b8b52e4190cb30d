"""Small data and small networks that many examples share."""

import numpy as np

import minidl
from minidl import nn


def normal(i, *shape):
    """A tensor of normal numbers, those of call ``i``."""
    rng = np.random.default_rng([i, *shape])
    return minidl.tensor(rng.standard_normal(shape).astype(np.float32))


def uniform(i, *shape):
    """A tensor of numbers in [0, 1), those of call ``i``."""
    rng = np.random.default_rng([i, 1, *shape])
    return minidl.tensor(rng.random(shape).astype(np.float32))


def integers(i, high, *shape):
    """A tensor of int64 numbers below ``high``, those of call ``i``."""
    return minidl.tensor(np.random.default_rng([i, high, *shape]).integers(0, high, shape))


def permutation(i, size):
    """A tensor with 0 to ``size - 1`` in the order of call ``i``."""
    return minidl.tensor(np.random.default_rng([i, size]).permutation(size))


def batch(i, size=6, width=4, classes=3):
    """Features and labels."""
    return normal(i, size, width), integers(i, classes, size)


def pictures(i, size=4, channels=2, side=6, classes=3):
    """Pictures and labels."""
    return normal(i, size, channels, side, side), integers(i, classes, size)


def mlp(width=4, hidden=8, classes=3):
    """A network of two layers."""
    return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, classes))


def convnet(channels=2, classes=3):
    """A network for `pictures` with batch norm."""
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(36, classes),
    )

"""A module of settings that others import."""

SMOOTHING = 0.0
SCALE = 1.0
ACTIVE = {"penalty": {"l2": 0.01}}


def scaled(x):
    return x * SCALE

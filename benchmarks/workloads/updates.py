"""Updates of parameters: small ones, where calls count, and large ones, where memory does."""

import math

from benchmarks.networks import shapes
from benchmarks.workload import Workload

_NUMBERS_MOVED = {"SGD": 5, "Adam": 7}
"""For each parameter: those that are read, and those that are written."""


def _update(optimizer: str, name: str, network: str) -> Workload:
    parameters = shapes(network)
    count = sum(math.prod(shape) for shape in parameters)
    in_memory = count > 1 << 22  # else a cache has them, and memory is no ceiling
    return Workload(
        name=f"{optimizer}, {name}'s {count:,} parameters",
        family="updates",
        kind="update",
        contenders=("minidl", "PyTorch", "JAX"),
        options={"optimizer": optimizer, "shapes": parameters},
        bytes=4.0 * _NUMBERS_MOVED[optimizer] * count if in_memory else 0.0,
    )


WORKLOADS = [
    _update(optimizer, name, network)
    for optimizer in _NUMBERS_MOVED
    for name, network in (("the article", "article"), ("ResNet-18", "resnet18"))
]

"""Changes in place: the version counters, and what the graph can follow."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from minidl.autograd.graph import Leaf, TensorBase, alias, describe
from minidl.autograd.mode import change, mode
from minidl.backend import fits_into


def update_inplace(target: TensorBase, function: Callable, *args: Any, **options: Any) -> Any:
    """``target`` becomes ``function(target, *args, **options)``: its memory and its node."""
    if mode.observer is not None:
        mode.observer.takes((target, *args))
    recorded = mode.enabled and any(
        isinstance(a, TensorBase) and a.place is not None
        for a in (target, *args, *options.values())
    )
    if recorded:
        check_inplace(target)
    out = function(alias(target), *args, **options)
    if out.array.shape != target.array.shape:
        raise ValueError(
            f"in-place {function.__name__}: the result has shape {out.array.shape}, "
            f"which does not fit into {describe([target])}"
        )
    if not fits_into(out.array.dtype, target.array.dtype):
        raise TypeError(
            f"in-place {function.__name__}: the result is {out.array.dtype}, "
            f"which does not fit into {describe([target])}"
        )
    change(f"{function.__name__}_", operator.setitem, target.array, ..., out.array)
    target.version[0] += 1
    if recorded:
        target.version[1] += 1
        target.place = out.place
    return target


def check_inplace(target: TensorBase) -> None:
    """RuntimeError if the graph cannot follow an in-place change of ``target``."""
    if isinstance(target.place, Leaf):
        raise RuntimeError(
            f"a leaf {describe([target])} that requires a gradient cannot be changed in place "
            "while operations are recorded; do it under no_grad()"
        )
    if target.view_version is not None:
        raise RuntimeError(
            f"{describe([target])} is a view, and the graph cannot follow an in-place change "
            "through it; clone() it first, or do it under no_grad()"
        )

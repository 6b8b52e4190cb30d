"""Updates of parameters on a GPU: all of them in one launch."""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any

import numpy as np

from minidl.backend import float64
from minidl.kernels.cuda import FLOATING, Source, address, ctype, packed
from minidl.kernels.launch import contiguous
from minidl.kernels.optim import reference

_source = Source(__file__, "optim.cu", [{"ELEMENT": ctype(dtype)} for dtype in FLOATING])
_THREADS, _CHUNK, _MOST = 256, 4096, 72  # as in optim.cu


def sgd(
    params: list[Any],
    grads: list[Any],
    velocities: list[Any] | None,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
) -> None:
    """Stochastic gradient descent with momentum: see the reference."""
    changed = params, velocities
    if not _covered(*changed):
        reference.sgd(params, grads, velocities, lr, momentum, dampening, weight_decay, nesterov)
        return
    reference.check(params, grad=grads, velocity=velocities)
    one = _scalar(params)
    update = {"lr": one(lr), "decay": one(weight_decay)}
    if velocities is not None:
        update |= {"momentum": one(momentum), "kept": one(1 - dampening)}
        update["nesterov"] = np.int32(nesterov)
    _launch("sgd" if velocities is None else "sgd_momentum", update, grads, *changed)


def adam(
    params: list[Any],
    grads: list[Any],
    means: list[Any],
    squares: list[Any],
    largests: list[Any] | None,
    steps: list[int],
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
) -> None:
    """Adam, AdamW and AMSGrad: see the reference."""
    changed = params, means, squares, largests
    if not _covered(*changed):
        options = lr, beta1, beta2, eps, weight_decay, decoupled
        reference.adam(params, grads, means, squares, largests, steps, *options)
        return
    reference.check(params, grad=grads, mean=means, square=squares, largest=largests)
    one = _scalar(params)
    for step in set(steps):  # parameters that had no gradient now and then are behind the others
        update = {
            "rate": one(lr / (1 - beta1**step)),
            "root": one(math.sqrt(1 - beta2**step)),
            "eps": one(eps),
            "shrink": one(1 - lr * weight_decay if decoupled else 1),
            "decay": one(0 if decoupled else weight_decay),
            "mean_kept": one(1 - beta1),
            "square_decay": one(beta2),
            "square_kept": one(1 - beta2),
        }
        chosen = [taken == step for taken in steps]
        columns = (
            None if arrays is None else list(itertools.compress(arrays, chosen))
            for arrays in (grads, *changed)
        )
        _launch("adam" if largests is None else "amsgrad", update, *columns)


def _covered(*changed: list[Any] | None) -> bool:
    """Whether the kernels can write into these arrays."""
    dtype = changed[0][0].dtype
    return dtype in FLOATING and all(
        array.flags.c_contiguous and array.dtype == dtype
        for arrays in changed
        if arrays is not None
        for array in arrays
    )


def _scalar(params: list[Any]) -> type:
    """What the kernels compute with."""
    return np.float64 if params[0].dtype == float64 else np.float32


def _launch(
    name: str,
    update: dict[str, Any],
    grads: list[Any],
    params: list[Any],
    *states: list[Any] | None,
) -> None:
    grads = [contiguous(grad) for grad in grads]
    columns = [params, grads, *(arrays for arrays in states if arrays is not None)]
    kernel = _source.kernel(name, params[0], ELEMENT=ctype(params[0].dtype))
    places = tuple(tuple(map(address, column)) for column in columns)
    sizes = tuple(array.size for array in params)
    numbers = packed(**update)
    for blocks, tensors in _tensors(places, sizes):
        kernel((blocks,), (_THREADS,), (tensors, numbers))


@functools.lru_cache(maxsize=64)
def _tensors(
    places: tuple[tuple[int, ...], ...], sizes: tuple[int, ...]
) -> list[tuple[int, np.ndarray]]:
    """The structures ``Tensors`` of CUDA C that hold all parameters, with how many blocks each.

    ``places`` are the addresses of each column, the same ones in most steps.
    """
    found = []
    for start in range(0, len(sizes), _MOST):
        part = slice(start, start + _MOST)
        count = len(sizes[part])
        arrays = np.zeros((len(places), _MOST), np.int64)
        lengths, ends = np.zeros(_MOST, np.int64), np.zeros(_MOST, np.int32)
        arrays[:, :count] = [column[part] for column in places]
        lengths[:count] = sizes[part]
        ends[:count] = np.cumsum(-(-lengths[:count] // _CHUNK))
        if ends[count - 1]:
            fields = packed(arrays=arrays, sizes=lengths, ends=ends, count=np.int32(count))
            found.append((int(ends[count - 1]), fields))
    return found

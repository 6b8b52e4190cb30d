"""Updates of parameters on a GPU: all of them in one launch."""

from __future__ import annotations

import functools
import itertools
import math
import weakref
from typing import Any

import numpy as np

from minidl.backend import float64
from minidl.kernels.cuda import FLOATING, Source, address, ctype, packed
from minidl.kernels.launch import contiguous
from minidl.kernels.optim import reference

_source = Source(__file__, "optim.cu", [{"ELEMENT": ctype(dtype)} for dtype in FLOATING])
_THREADS, _CHUNK, _MOST = 256, 4096, 72  # as in optim.cu

_Tensors = list[tuple[int, np.ndarray]]
"""The structures ``Tensors`` of CUDA C that hold all parameters, with how many blocks each."""


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
    grads = [contiguous(grad) for grad in grads]  # copies must live until they have been read
    tensors = _tensors_of(params, grads, velocity=velocities)
    if tensors is None:
        reference.sgd(params, grads, velocities, lr, momentum, dampening, weight_decay, nesterov)
        return
    with_momentum = velocities is not None
    numbers = (lr, weight_decay, *((momentum, 1 - dampening) if with_momentum else ()))
    update = _descent(_scalar(params), numbers, nesterov if with_momentum else None)
    _launch("sgd_momentum" if with_momentum else "sgd", params, tensors, update)


@functools.lru_cache(maxsize=16)  # they are the same ones in most steps
def _descent(one: type, numbers: tuple[float, ...], nesterov: bool | None) -> np.ndarray:
    """The numbers of ``sgd``, or of ``sgd_momentum``, as a structure."""
    names = "lr", "decay", "momentum", "kept"
    fields = {name: one(number) for name, number in zip(names, numbers)}
    return packed(**fields, **({} if nesterov is None else {"nesterov": np.int32(nesterov)}))


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
    if not _covered([params, means, squares, largests or []]):
        options = lr, beta1, beta2, eps, weight_decay, decoupled
        reference.adam(params, grads, means, squares, largests, steps, *options)
        return
    grads = [contiguous(grad) for grad in grads]
    one = _scalar(params)
    for step in set(steps):  # parameters that had no gradient now and then are behind the others
        update = packed(
            rate=one(lr / (1 - beta1**step)),
            root=one(math.sqrt(1 - beta2**step)),
            eps=one(eps),
            shrink=one(1 - lr * weight_decay if decoupled else 1),
            decay=one(0 if decoupled else weight_decay),
            mean_kept=one(1 - beta1),
            square_decay=one(beta2),
            square_kept=one(1 - beta2),
        )
        chosen = [taken == step for taken in steps]
        some, some_grads, some_means, some_squares, some_largests = (
            None if arrays is None else list(itertools.compress(arrays, chosen))
            for arrays in (params, grads, means, squares, largests)
        )
        states = {"mean": some_means, "square": some_squares, "largest": some_largests}
        tensors = _tensors_of(some, some_grads, **states)
        _launch("adam" if largests is None else "amsgrad", some, tensors, update)


def _scalar(params: list[Any]) -> type:
    """What the kernels compute with."""
    return np.float64 if params[0].dtype == float64 else np.float32


def _launch(name: str, params: list[Any], tensors: _Tensors, update: np.ndarray) -> None:
    kernel = _source.kernel(name, params[0], ELEMENT=ctype(params[0].dtype))
    for blocks, structure in tensors:
        kernel((blocks,), (_THREADS,), (structure, update))


# --------------------------------------------------------------------------- where the arrays are


class _Known:
    """What was found out about arrays; it is true until one of them dies."""

    def __init__(self, ids: list[int], tensors: _Tensors, arrays: list[Any]):
        self.ids, self.tensors = ids, tensors

        def forget(_: weakref.ref, key: int = ids[0]) -> None:
            _known.pop(key, None)

        self.watched = [weakref.ref(array, forget) for array in arrays]


_known: dict[int, _Known] = {}
"""By the identity of the first parameter."""


def _tensors_of(params: list[Any], grads: list[Any], **states: list[Any] | None) -> _Tensors | None:
    """The structures of all parameters; None if the kernels cannot write into these arrays.

    The gradients are contiguous.
    """
    columns = [params, grads, *(column for column in states.values() if column is not None)]
    arrays = list(itertools.chain(*columns))
    ids = list(map(id, arrays))
    known = _known.get(ids[0])
    if known is not None and known.ids == ids:
        return known.tensors
    reference.check(params, grad=grads, **states)
    if not _covered([params, *columns[2:]]):
        return None
    places = tuple(tuple(map(address, column)) for column in columns)
    tensors = _tensors(places, tuple(array.size for array in params))
    _known[ids[0]] = _Known(ids, tensors, arrays)
    return tensors


def _covered(changed: list[list[Any]]) -> bool:
    """Whether the kernels can write into these arrays."""
    dtype = changed[0][0].dtype
    return dtype in FLOATING and all(
        array.flags.c_contiguous and array.dtype == dtype for arrays in changed for array in arrays
    )


@functools.lru_cache(maxsize=64)
def _tensors(places: tuple[tuple[int, ...], ...], sizes: tuple[int, ...]) -> _Tensors:
    """See `_Tensors`; ``places`` are the addresses of each column, often the same ones again."""
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

"""Updates of parameters in Numba: all of them in one launch, in one pass over memory.

A launch gets a table of addresses and a list of blocks: pieces of at most `_BLOCK` elements
of one parameter, which threads take in turn.

A state that gets no more gradients shrinks step by step, until it loses its last digits. A
processor takes a hundred times as long for such numbers (subnormal ones), so they become 0.
"""

from __future__ import annotations

import math
import weakref
from itertools import chain

import numpy as np
from numba import carray, prange, types
from numba.core import cgutils
from numba.extending import intrinsic

from minidl.backend import float32, float64
from minidl.kernels.jit import FLOATS, jit, threaded
from minidl.kernels.optim import reference

_BLOCK = 16_384
_TINY, _TINY_DOUBLE = (float(np.finfo(dtype).tiny) for dtype in (float32, float64))

# --------------------------------------------------------------------------- addresses


@jit
def _address(array):
    return array.ctypes.data


@intrinsic
def _pointer(typing, address):
    """An address as a pointer."""

    def generate(context, builder, signature, args):
        return builder.inttoptr(args[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), generate


@jit
def _piece(address, start, stop, like):
    """Elements ``start`` to ``stop`` of the array at ``address``, of the dtype of ``like``."""
    return carray(_pointer(address), stop, like.dtype)[start:]


class _Table:
    """Where the arrays lie that change, a row for the parameters and one for each of their states.

    It serves until one of the arrays dies, and keeps none of them alive. (Memory stays where it
    is: NumPy resizes no array that something refers to, be it weakly.)
    """

    def __init__(self, rows: list[list[np.ndarray]]):
        params = rows[0]
        self.ids = list(map(id, chain(*rows)))
        self.addresses = np.array([list(map(_address, row)) for row in rows], np.int64)
        self.blocks = np.array(
            [
                (i, start, min(start + _BLOCK, param.size))
                for i, param in enumerate(params)
                for start in range(0, param.size, _BLOCK)
            ],
            np.int64,
        ).reshape(-1, 3)
        self.like = np.empty(0, params[0].dtype)
        # one thread, if parameters share memory: the result must not depend on who is first
        self.work = 0 if _overlap(self.addresses, rows) else sum(param.size for param in params)

        def forget(_: weakref.ref, key: int = id(params[0])) -> None:
            _tables.pop(key, None)

        self.watched = [weakref.ref(array, forget) for array in chain(*rows)]


_tables: dict[int, _Table] = {}
"""By the identity of the first parameter."""


def _overlap(addresses: np.ndarray, rows: list[list[np.ndarray]]) -> bool:
    """Whether any two arrays share memory."""
    starts = addresses.ravel()
    ends = starts + [array.nbytes for array in chain(*rows)]
    order = np.argsort(starts, kind="stable")
    return bool((ends[order][:-1] > starts[order][1:]).any())


def _table(params: list[np.ndarray], **states: list[np.ndarray] | None) -> _Table | None:
    """The table of parameters and states; None if the kernels cannot write into these arrays."""
    rows = [params, *(row for row in states.values() if row is not None)]
    table = _tables.get(id(params[0]))
    if table is not None and table.ids == list(map(id, chain(*rows))):
        return table
    reference.check(params, **states)
    if params[0].dtype not in FLOATS:
        return None
    if not all(array.flags.carray for array in chain(*rows)):
        return None
    table = _tables[id(params[0])] = _Table(rows)
    return table


def _settled(params: list[np.ndarray], grads: list[np.ndarray]) -> tuple[list, np.ndarray]:
    """The gradients in row-major order, checked, and their addresses."""
    dtype, settled = params[0].dtype, []
    for param, grad in zip(params, grads, strict=True):
        if grad.shape != param.shape or grad.dtype != dtype:
            reference.check(params, grad=grads)
        # -gradient is a NumPy scalar if it has no dimensions
        ready = isinstance(grad, np.ndarray) and grad.flags.carray
        settled.append(grad if ready else np.array(grad, order="C"))
    return settled, np.array(list(map(_address, settled)), np.int64)


# --------------------------------------------------------------------------- updates


@jit
def _tiny(like):
    """The smallest number with all its digits."""
    return like.dtype.type(
        1.1754943508222875e-38 if like.itemsize == 4 else 2.2250738585072014e-308
    )


@jit
def _normal(value, tiny):
    """``value``, or 0 for one that has lost digits; NaN stays."""
    return value - value if abs(value) < tiny else value


@jit
def _descend(param, grad, lr, decay):
    for i in range(param.size):
        param[i] -= lr * (grad[i] + decay * param[i])


@jit
def _descend_with_momentum(param, grad, velocity, lr, momentum, kept, decay, nesterov):
    tiny = _tiny(param)
    for i in range(param.size):
        g = grad[i] + decay * param[i]
        v = _normal(momentum * velocity[i] + kept * g, tiny)
        velocity[i] = v
        param[i] -= lr * (g + momentum * v if nesterov else v)


@threaded
def _sgd(addresses, grads, blocks, like, lr, momentum, kept, decay, nesterov):
    one = like.dtype.type
    for b in prange(blocks.shape[0]):
        i, start, stop = blocks[b]
        param = _piece(addresses[0, i], start, stop, like)
        grad = _piece(grads[i], start, stop, like)
        if addresses.shape[0] == 1:
            _descend(param, grad, one(lr), one(decay))
        else:
            velocity = _piece(addresses[1, i], start, stop, like)
            scalars = one(lr), one(momentum), one(kept), one(decay)
            _descend_with_momentum(param, grad, velocity, *scalars, nesterov)


def sgd(
    params: list[np.ndarray],
    grads: list[np.ndarray],
    velocities: list[np.ndarray] | None,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
) -> None:
    """Stochastic gradient descent with momentum: see the reference."""
    table = _table(params, velocity=velocities)
    if table is None:
        reference.sgd(params, grads, velocities, lr, momentum, dampening, weight_decay, nesterov)
        return
    grads, addresses = _settled(params, grads)
    scalars = map(float, (lr, momentum, 1 - dampening, weight_decay))
    arrays = table.addresses, addresses, table.blocks, table.like
    _sgd(2 * table.work, *arrays, *scalars, bool(nesterov))


@jit
def _adam_piece(param, grad, mean, square, largest, rate, root, eps, shrink, decay, kept):
    mean_kept, square_decay, square_kept = kept
    tiny = _tiny(param)
    for i in range(param.size):
        p = param[i] * shrink
        g = grad[i] + decay * p
        m = _normal(mean[i] + mean_kept * (g - mean[i]), tiny)
        s = _normal(square_decay * square[i] + square_kept * g * g, tiny)
        mean[i] = m
        square[i] = s
        if largest.size:
            s = largest[i] if largest[i] > s else s  # NaN in s stays
            largest[i] = s
        param[i] = p - rate * m / (math.sqrt(s) / root + eps)


@threaded
def _adam(addresses, grads, blocks, like, rates, roots, eps, shrink, decay, beta1, beta2):
    one = like.dtype.type
    # 1 - beta: a difference of two float32 numbers would keep five digits
    kept = one(1 - beta1), one(beta2), one(1 - beta2)
    for b in prange(blocks.shape[0]):
        i, start, stop = blocks[b]
        param = _piece(addresses[0, i], start, stop, like)
        grad = _piece(grads[i], start, stop, like)
        mean = _piece(addresses[1, i], start, stop, like)
        square = _piece(addresses[2, i], start, stop, like)
        largest = like
        if addresses.shape[0] == 4:
            largest = _piece(addresses[3, i], start, stop, like)
        rate, root = one(rates[i]), one(roots[i])
        scalars = rate, root, one(eps), one(shrink), one(decay)
        _adam_piece(param, grad, mean, square, largest, *scalars, kept)


def adam(
    params: list[np.ndarray],
    grads: list[np.ndarray],
    means: list[np.ndarray],
    squares: list[np.ndarray],
    largests: list[np.ndarray] | None,
    steps: list[int],
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
) -> None:
    """Adam, AdamW and AMSGrad: see the reference."""
    table = _table(params, mean=means, square=squares, largest=largests)
    if table is None:
        options = lr, beta1, beta2, eps, weight_decay, decoupled
        reference.adam(params, grads, means, squares, largests, steps, *options)
        return
    grads, addresses = _settled(params, grads)
    factors = {t: (lr / (1 - beta1**t), math.sqrt(1 - beta2**t)) for t in set(steps)}
    rates, roots = np.array([factors[t] for t in steps], np.float64).T.copy()
    shrink = 1 - lr * weight_decay if decoupled else 1
    scalars = map(float, (eps, shrink, 0 if decoupled else weight_decay, beta1, beta2))
    _adam(
        10 * table.work,
        table.addresses,
        addresses,
        table.blocks,
        table.like,
        rates,
        roots,
        *scalars,
    )

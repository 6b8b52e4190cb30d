"""SGD in Numba CUDA, to be read beside `optim.cu`.

The idea: one pass over memory. A thread reads its elements of all arrays, updates them in
registers and writes them back; NumPy would read and write an array for every operation.
"""

from __future__ import annotations

import itertools
from typing import Any

from numba import cuda

from minidl.kernels.cuda import grid_for
from minidl.kernels.cuda.numba_launch import covered, cuda_kernel, launch
from minidl.kernels.optim import reference

_THREADS = 256


@cuda_kernel
def _sgd(param, grad, lr, decay):
    for i in range(cuda.grid(1), param.size, cuda.gridsize(1)):
        param[i] -= lr * (grad[i] + decay * param[i])


@cuda_kernel
def _sgd_momentum(param, grad, velocity, lr, decay, momentum, kept, nesterov):
    for i in range(cuda.grid(1), param.size, cuda.gridsize(1)):
        g = grad[i] + decay * param[i]
        v = momentum * velocity[i] + kept * g
        velocity[i] = v
        param[i] -= lr * (g + momentum * v if nesterov else v)


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
    changed = [params] if velocities is None else [params, velocities]
    arrays = list(itertools.chain(*changed))
    if not covered(*arrays) or not all(array.flags.c_contiguous for array in arrays):
        reference.sgd(params, grads, velocities, lr, momentum, dampening, weight_decay, nesterov)
        return
    reference.check(params, grad=grads, velocity=velocities)
    one = params[0].dtype.type
    scalars = [one(lr), one(weight_decay)]
    if velocities is not None:
        scalars += [one(momentum), one(1 - dampening), nesterov]
    update = _sgd if velocities is None else _sgd_momentum
    for param, grad, *velocity in zip(params, grads, *changed[1:], strict=True):
        flat = [param.reshape(-1), grad.reshape(-1), *(v.reshape(-1) for v in velocity)]
        launch(update, grid_for(param.size, _THREADS), (_THREADS,), *flat, *scalars)

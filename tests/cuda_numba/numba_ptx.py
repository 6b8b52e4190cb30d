"""Compiles all Numba CUDA kernels without a GPU, for what their launchers pass to them.

Prints, as JSON, a row for each kernel, dtype and architecture. Numba finds the compiler by
``CUDA_HOME``, which it reads once, hence a process of its own.
"""

import json
from types import SimpleNamespace

import numba
import numpy as np
from numba import cuda
from numba.cuda import dispatcher

from minidl.kernels.activation import numba_cuda as activation
from minidl.kernels.conv import numba_cuda as conv
from minidl.kernels.optim import numba_cuda as optim
from minidl.kernels.pool import numba_cuda as pool
from minidl.kernels.softmax import numba_cuda as softmax

FAMILIES = activation, conv, optim, pool, softmax
ARCHITECTURES = [(8, 0), (9, 0)]
DTYPES = np.float32, np.float64


def launch_all(dtype):
    """Start every kernel once."""
    x, rows = np.ones((1, 8, 4, 4), dtype), np.ones((2, 3), dtype)
    activation.relu(x)
    activation.relu_grad(x, x)
    optim.sgd([rows], [rows], None, 0.1, 0.0, 0.0, 0.1, False)
    optim.sgd([rows], [rows], [rows], 0.1, 0.9, 0.0, 0.1, True)
    labels = np.zeros(2, np.int64), np.ones(3, dtype), 0.1, -100
    softmax.cross_entropy(rows, *labels)
    softmax.cross_entropy_grad(rows[:, 0], rows, *labels, rows[:, 0].copy())
    windows = (2, 2), (2, 2), (0, 0), (1, 1)
    _, indices = pool.max_pool2d(x, *windows, (2, 2))
    pool.max_pool2d_scatter(x[..., :2, :2], indices, (4, 4), windows)
    tables = np.array([[0, 2], [2, 4]]), np.array([[0, 2], [2, 4]]), np.ones((2, 2))
    pool.avg_pool2d(x, *tables)
    pool.avg_pool2d_grad(x[..., :2, :2], *tables, (4, 4))
    for groups in (1, 8):  # tiled, direct
        w, how = np.ones((8, 8 // groups, 1, 1), dtype), ((1, 1), (0, 0, 0, 0), (1, 1), groups)
        conv.conv2d(x, w, None, *how)
        conv.conv2d_input_grad(x, w, x.shape, *how)
        conv.conv2d_weight_grad(x, x, w.shape, *how)


def compiler(dtype, architecture, rows):
    """A stand-in for `launch` that compiles the kernel and adds what came out to ``rows``."""

    def compile_kernel(kernel, _grid, _block, *args):
        types = tuple(map(numba.typeof, args))
        ptx, _ = cuda.compile_ptx(kernel.py_func, types, cc=architecture)
        name, arch = kernel.py_func.__name__, "sm_{}{}".format(*architecture)
        rows.append({"kernel": name, "dtype": dtype.__name__, "architecture": arch, "ptx": ptx})

    return compile_kernel


def kernels():
    """The names of all kernels in the families' modules."""
    return [
        name
        for family in FAMILIES
        for name, value in vars(family).items()
        if isinstance(value, dispatcher.CUDADispatcher) and not value.targetoptions["device"]
    ]


def compiled():
    """A row for each kernel, dtype and architecture."""
    rows = []
    for architecture in ARCHITECTURES:
        for dtype in DTYPES:
            for family in FAMILIES:
                family.launch = compiler(dtype, architecture, rows)
            launch_all(dtype)
    return rows


if __name__ == "__main__":
    # Numba asks the GPU for its architecture when a kernel calls a function of ours
    device = SimpleNamespace(compute_capability=ARCHITECTURES[0])
    dispatcher.get_current_device = lambda: device
    print(json.dumps(compiled()))

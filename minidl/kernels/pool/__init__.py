"""Pooling: the largest element or the mean of each window, and their gradients."""

from minidl.kernels.pool import cpu, cuda, reference
from minidl.kernels.registry import Kernel

max_pool2d = Kernel(
    "max_pool2d",
    numpy=reference.max_pool2d,
    numba=cpu.max_pool2d,
    cuda=cuda.max_pool2d,
    numba_cuda="minidl.kernels.pool.numba_cuda:max_pool2d",
)
max_pool2d_scatter = Kernel(
    "max_pool2d_scatter",
    numpy=reference.max_pool2d_scatter,
    numba=cpu.max_pool2d_scatter,
    cuda=cuda.max_pool2d_scatter,
    numba_cuda="minidl.kernels.pool.numba_cuda:max_pool2d_scatter",
)
max_pool2d_gather = Kernel(
    "max_pool2d_gather", numpy=reference.max_pool2d_gather, cuda=cuda.max_pool2d_gather
)
avg_pool2d = Kernel(
    "avg_pool2d",
    numpy=reference.avg_pool2d,
    numba=cpu.avg_pool2d,
    cuda=cuda.avg_pool2d,
    numba_cuda="minidl.kernels.pool.numba_cuda:avg_pool2d",
)
avg_pool2d_grad = Kernel(
    "avg_pool2d_grad",
    numpy=reference.avg_pool2d_grad,
    numba=cpu.avg_pool2d_grad,
    cuda=cuda.avg_pool2d_grad,
    numba_cuda="minidl.kernels.pool.numba_cuda:avg_pool2d_grad",
)

"""Reductions over any axes: sum, mean, largest and smallest element."""

from minidl.kernels.reduce import cuda, reference
from minidl.kernels.registry import Kernel

reduce_sum = Kernel("reduce_sum", numpy=reference.reduce_sum, cuda=cuda.reduce_sum)
reduce_mean = Kernel("reduce_mean", numpy=reference.reduce_mean, cuda=cuda.reduce_mean)
reduce_max = Kernel("reduce_max", numpy=reference.reduce_max, cuda=cuda.reduce_max)
reduce_min = Kernel("reduce_min", numpy=reference.reduce_min, cuda=cuda.reduce_min)

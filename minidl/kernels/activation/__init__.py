"""Activations whose speed counts, and their gradients."""

from minidl.kernels.activation import cpu, cuda, reference
from minidl.kernels.registry import Kernel

relu = Kernel("relu", numpy=reference.relu, numba=cpu.relu, cuda=cuda.relu)
relu_grad = Kernel(
    "relu_grad", numpy=reference.relu_grad, numba=cpu.relu_grad, cuda=cuda.relu_grad
)

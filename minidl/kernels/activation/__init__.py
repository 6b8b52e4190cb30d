"""Activations and their gradients. On the CPU, NumPy's vectorised functions serve most."""

from minidl.kernels.activation import cpu, cuda, reference
from minidl.kernels.registry import Kernel

relu = Kernel(
    "relu",
    numpy=reference.relu,
    numba=cpu.relu,
    cuda=cuda.relu,
    numba_cuda="minidl.kernels.activation.numba_cuda:relu",
)
relu_grad = Kernel(
    "relu_grad",
    numpy=reference.relu_grad,
    numba=cpu.relu_grad,
    cuda=cuda.relu_grad,
    numba_cuda="minidl.kernels.activation.numba_cuda:relu_grad",
)
activation = Kernel("activation", numpy=reference.activation, cuda=cuda.activation)
activation_grad = Kernel(
    "activation_grad", numpy=reference.activation_grad, cuda=cuda.activation_grad
)

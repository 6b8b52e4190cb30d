"""Matrix products, alone and as linear layers."""

from minidl.kernels.matmul import cpu, cuda, reference, small
from minidl.kernels.registry import Kernel

matmul = Kernel("matmul", numpy=reference.matmul, numba=cpu.matmul, cuda=cuda.matmul)
linear = Kernel("linear", numpy=reference.linear, numba=small.linear, cuda=cuda.linear)
linear_grad = Kernel(
    "linear_grad", numpy=reference.linear_grad, numba=small.linear_grad, cuda=cuda.linear_grad
)

"""Matrix products."""

from minidl.kernels.matmul import cpu, cuda, reference
from minidl.kernels.registry import Kernel

matmul = Kernel("matmul", numpy=reference.matmul, numba=cpu.matmul, cuda=cuda.matmul)

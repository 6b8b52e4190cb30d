"""Updates of parameters, in place."""

from minidl.kernels.optim import cpu, cuda, reference
from minidl.kernels.registry import Kernel

sgd = Kernel(
    "sgd",
    numpy=reference.sgd,
    numba=cpu.sgd,
    cuda=cuda.sgd,
    numba_cuda="minidl.kernels.optim.numba_cuda:sgd",
)
adam = Kernel("adam", numpy=reference.adam, numba=cpu.adam, cuda=cuda.adam)

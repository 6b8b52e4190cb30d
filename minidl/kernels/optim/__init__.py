"""Updates of parameters, in place."""

from minidl.kernels.optim import cpu, reference
from minidl.kernels.registry import Kernel

sgd = Kernel("sgd", numpy=reference.sgd, numba=cpu.sgd)
adam = Kernel("adam", numpy=reference.adam, numba=cpu.adam)

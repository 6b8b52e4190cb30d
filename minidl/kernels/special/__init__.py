"""Special functions that NumPy lacks."""

from minidl.kernels.registry import Kernel
from minidl.kernels.special import cpu, cuda, reference

erf = Kernel("erf", numpy=reference.erf, numba=cpu.erf, cuda=cuda.erf)

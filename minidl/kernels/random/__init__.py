"""Random bits: the counter-based generator Philox 4x32-10."""

from minidl.kernels.random import cpu, cuda, reference
from minidl.kernels.registry import Kernel

philox = Kernel("philox", numpy=reference.philox, numba=cpu.philox, cuda=cuda.philox)

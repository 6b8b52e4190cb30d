"""Normalisation by channel, and the scaling by channel that goes with it."""

from minidl.kernels.norm import cpu, reference
from minidl.kernels.registry import Kernel

normalize = Kernel("normalize", numpy=reference.normalize, numba=cpu.normalize)
normalize_grad = Kernel("normalize_grad", numpy=reference.normalize_grad, numba=cpu.normalize_grad)
scale_shift = Kernel("scale_shift", numpy=reference.scale_shift, numba=cpu.scale_shift)

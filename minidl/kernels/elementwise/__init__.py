"""Chains of elementwise operations as one kernel, which `minidl.compile` makes of neighbours."""

from minidl.kernels.elementwise import cpu, reference
from minidl.kernels.elementwise.steps import Step
from minidl.kernels.registry import Kernel

elementwise = Kernel("elementwise", numpy=reference.elementwise, numba=cpu.elementwise)

"""Kernels: one folder per family, every machine's version side by side.

A kernel takes and returns arrays and knows nothing of tensors or gradients. In a family's
folder, ``reference.py`` is the definition in NumPy, ``cpu.py`` the Numba version, and
``__init__.py`` lists which serves what.
"""

from minidl.kernels.jit import get_num_threads, set_num_threads, single_threaded
from minidl.kernels.random import philox
from minidl.kernels.registry import Kernel, kernels, table, use_kernels
from minidl.kernels.special import erf

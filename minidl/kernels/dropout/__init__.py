"""Dropout with a mask that nobody stores: it is made of counters, and made again backward."""

from minidl.kernels.dropout import cpu, cuda, reference
from minidl.kernels.registry import Kernel

dropout = Kernel("dropout", numpy=reference.dropout, numba=cpu.dropout, cuda=cuda.dropout)

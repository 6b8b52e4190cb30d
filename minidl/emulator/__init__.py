"""Runs CUDA C on the CPU, one fiber per CUDA thread, and checks what the threads do.

It needs a C++ compiler, no GPU and no CUDA. `RawModule` and `RawKernel` take the arguments
of CuPy's; within ``checked()`` races, accesses out of bounds and other mistakes are errors
that name kernel, source line, block and thread. See ``docs/emulator.md``.
"""

from minidl.emulator import array_module
from minidl.emulator.array import EmulatorArray
from minidl.emulator.module import (
    EmulatorError,
    RawKernel,
    RawModule,
    checked,
    is_available,
    is_checked,
)

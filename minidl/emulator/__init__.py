"""Runs CUDA C on the CPU, one fiber per CUDA thread, and checks what the threads do.

It needs a C++ compiler, no GPU and no CUDA. `RawModule` and `RawKernel` take the arguments
of CuPy's; within ``checked()`` races, accesses out of bounds and other mistakes are errors
that name kernel, source line, block and thread. See ``docs/emulator.md``.
"""

from minidl.emulator import array_module
from minidl.emulator.arguments import address
from minidl.emulator.array import EmulatorArray
from minidl.emulator.checking import checked, is_checked
from minidl.emulator.compiler import is_available
from minidl.emulator.errors import (
    AbsentLane,
    AssertionFailed,
    CompileError,
    DivergentBarrier,
    EmulatorError,
    InvalidArithmetic,
    KernelError,
    LaunchError,
    Misaligned,
    OutOfBounds,
    Race,
    ReadOnly,
    UninitialisedRead,
)
from minidl.emulator.module import RawKernel, RawModule

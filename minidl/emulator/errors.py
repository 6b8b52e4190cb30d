"""What can be wrong with a kernel or its launch."""

from __future__ import annotations


class EmulatorError(RuntimeError):
    """Something is wrong with a kernel or its launch; the emulator can be used on."""


class CompileError(EmulatorError):
    """The kernel does not compile; the message is the compiler's, with file and line."""


class LaunchError(EmulatorError):
    """No GPU could launch this: too many threads, too much shared memory, an empty grid."""


class KernelError(EmulatorError):
    """A kernel did what it must not do.

    Attributes
    ----------
    kernel : str
        Its name.
    file, line : str or None, int or None
        The place in the source, where that is known.
    block, thread : tuple of int
        ``blockIdx`` and ``threadIdx`` of the thread, (x, y, z).
    """

    def __init__(self, message: str, kernel: str, place: tuple, block: tuple, thread: tuple):
        super().__init__(message)
        self.kernel, self.block, self.thread = kernel, block, thread
        self.file, self.line = place

    def __reduce__(self) -> tuple:
        place = self.file, self.line
        return type(self), (self.args[0], self.kernel, place, self.block, self.thread)


class OutOfBounds(KernelError):
    """An access to memory that is not the kernel's, or an index outside an array."""


class ReadOnly(KernelError):
    """A write to an array that may only be read."""


class Misaligned(KernelError):
    """A vector access whose address is no multiple of its size."""


class Race(KernelError):
    """Two threads touch the same byte, one of them writes, and nothing orders the two."""


class UninitialisedRead(KernelError):
    """A read of shared memory that no thread of the block has written."""


class DivergentBarrier(KernelError):
    """A ``__syncthreads`` that not all threads of the block reach."""


class AbsentLane(KernelError):
    """A warp operation whose mask names a lane that does not take part in it."""


class InvalidArithmetic(KernelError):
    """An integer division by zero, or a shift by more bits than there are."""


class AssertionFailed(KernelError):
    """An ``assert`` of the kernel does not hold."""

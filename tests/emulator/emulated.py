"""Kernels on NumPy arrays, and where in a source something stands."""

from minidl import emulator


def launch(code, name, grid, block, *args, shared_mem=0, options=()):
    """Compile ``code`` and run its kernel ``name``."""
    kernel = emulator.RawKernel(code, name, options)
    kernel(
        (grid,) if isinstance(grid, int) else grid,
        (block,) if isinstance(block, int) else block,
        args,
        shared_mem=shared_mem,
    )


def line_of(code, marker):
    """The number of the line of ``code`` in which ``marker`` stands."""
    return next(n for n, line in enumerate(code.splitlines(), 1) if marker in line)

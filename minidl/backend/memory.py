"""Running out of memory: how much was wanted, how much there was, and what to do about it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from minidl.backend.cupy import load_cupy


class OutOfMemoryError(RuntimeError, MemoryError):
    """There is not enough memory; the message says for what, how much, and what may help."""


def out_of_memory(error: MemoryError, wanted_for: str) -> OutOfMemoryError:
    """NumPy's or CuPy's ``error`` with what the memory was ``wanted_for``."""
    wanted = getattr(error, "_size", None)  # CuPy's error knows; NumPy's says it in its text
    shortage = f"{error}" if wanted is None else _shortage(wanted)
    return OutOfMemoryError(
        f"out of memory, for {wanted_for}: {shortage or 'not enough is free'}; a smaller batch "
        "size needs less, and no_grad() where no gradient is wanted"
    )


def _shortage(wanted: int) -> str:
    """What is free is what the driver has left and what CuPy's pool keeps for arrays to come."""
    cupy = load_cupy()
    free, total = cupy.cuda.runtime.memGetInfo()
    free += cupy.get_default_memory_pool().free_bytes()
    return f"{_gib(wanted)} wanted, {_gib(free)} free of the GPU's {_gib(total)}"


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"


@contextlib.contextmanager
def memory_errors(wanted_for: str) -> Iterator[None]:
    """Within the block, a lack of memory is an `OutOfMemoryError`."""
    try:
        yield
    except OutOfMemoryError:
        raise
    except MemoryError as error:
        raise out_of_memory(error, wanted_for) from None

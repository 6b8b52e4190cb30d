"""CUDA graphs: a run of launches that the driver repeats at once.

In a plan for a GPU all launches between two calls as a whole work on fixed memory, the step's
inputs having been copied there. So nothing in them ever changes, and what does change from
step to step, a learning rate or a dropout's counter, stays with the calls.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from minidl.backend import load_cupy


def settle(place: Any, array: Any) -> None:
    """Copy ``array`` to ``place``, by the driver alone if both have one memory order."""
    if array.flags.c_contiguous and place.flags.c_contiguous:
        place.data.copy_from_device_async(array.data, array.nbytes)
    else:
        place[...] = array


class CudaGraph:
    """``launches()``, captured as a CUDA graph at the second call.

    The first call runs it as it is: what is compiled or allocated once, then is. What the
    capture itself allocates stays in a separate memory pool.

    Warns
    -----
    RuntimeWarning
        If the launches cannot be captured; they are then made one by one, as the first time.
    """

    def __init__(self, launches: Callable[[], None]):
        self.launches = launches
        self.repeat: Callable[[], None] = self._first

    def __call__(self) -> None:
        self.repeat()

    def _first(self) -> None:
        self.launches()
        self.repeat = self._second

    def _second(self) -> None:
        self.repeat = self._captured() or self.launches
        self.repeat()

    def _captured(self) -> Callable[[], None] | None:
        cuda = load_cupy().cuda
        self.pool = cuda.MemoryPool()
        stream = cuda.Stream(non_blocking=True)
        stream.wait_event(cuda.get_current_stream().record())
        try:
            with cuda.using_allocator(self.pool.malloc), stream:
                stream.begin_capture()
                try:
                    self.launches()
                finally:
                    graph = stream.end_capture()
        except Exception as error:
            warnings.warn(
                f"a part of a compiled step cannot be captured as a CUDA graph ({error}); its "
                "kernels are launched one by one",
                RuntimeWarning,
                stacklevel=2,
            )
            return None
        return lambda: graph.launch(cuda.get_current_stream())

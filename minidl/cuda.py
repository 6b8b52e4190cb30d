"""NVIDIA GPUs, by the names of ``torch.cuda``: devices, memory, streams and events.

Nothing of CUDA is imported before a function is called. Without CuPy, a driver or a GPU,
`is_available` is False and `device_count` 0; everything else says what is missing
(`minidl.backend.CudaUnavailable`).

Source of names and meanings: https://pytorch.org/docs/stable/cuda.html
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from minidl import backend, random
from minidl.backend import CudaUnavailable, Device, load_cupy

# --------------------------------------------------------------------------- devices


def is_available() -> bool:
    """Whether there is a GPU that minidl can compute on."""
    return device_count() > 0


def device_count() -> int:
    """The number of GPUs; 0 if CuPy, its CUDA or the driver is missing."""
    try:
        return load_cupy().cuda.runtime.getDeviceCount()
    except CudaUnavailable:
        return 0


def current_device() -> int:
    """The index of the GPU that "cuda" means now."""
    return load_cupy().cuda.runtime.getDevice()


def set_device(device: Device | str | int) -> None:
    """Have "cuda" mean this GPU from now on; RuntimeError if there is none of that index."""
    load_cupy().cuda.Device(_index(device)).use()


@contextlib.contextmanager
def device(device: Device | str | int) -> Iterator[None]:
    """Within the block, "cuda" means this GPU."""
    previous = current_device()
    set_device(device)
    try:
        yield
    finally:
        set_device(previous)


def get_device_name(device: Device | str | int | None = None) -> str:
    """What the GPU is sold as."""
    return get_device_properties(device)["name"].decode()


def get_device_capability(device: Device | str | int | None = None) -> tuple[int, int]:
    """Its compute capability: (9, 0) for an H100."""
    properties = get_device_properties(device)
    return properties["major"], properties["minor"]


def get_device_properties(device: Device | str | int | None = None) -> dict[str, Any]:
    """What the CUDA runtime knows of the GPU (``cudaDeviceProp``)."""
    return load_cupy().cuda.runtime.getDeviceProperties(_index(device))


def synchronize(device: Device | str | int | None = None) -> None:
    """Wait until the GPU has done everything that it was told to, on all streams."""
    load_cupy().cuda.Device(_index(device)).synchronize()


def _index(place: Device | str | int | None) -> int:
    """A GPU's index; ValueError for a device that is no GPU, or an index that there is not."""
    count = load_cupy().cuda.runtime.getDeviceCount()
    if isinstance(place, str):
        place = backend.device(place)
    if isinstance(place, Device):
        if place.type != "cuda":
            raise ValueError(f"wants a GPU, got the device {str(place)!r}")
        place = place.index
    index = current_device() if place is None else place
    if not 0 <= index < count:
        raise ValueError(f"there is no GPU {index}: this machine has {count}")
    return index


# --------------------------------------------------------------------------- memory


def memory_allocated() -> int:
    """Bytes that the arrays of the current GPU take."""
    return load_cupy().get_default_memory_pool().used_bytes()


def memory_reserved() -> int:
    """Bytes that were taken from the current GPU, for arrays and for those to come."""
    return load_cupy().get_default_memory_pool().total_bytes()


def mem_get_info(device: Device | str | int | None = None) -> tuple[int, int]:
    """Bytes that are free on the GPU, and all there are."""
    with load_cupy().cuda.Device(_index(device)):
        return load_cupy().cuda.runtime.memGetInfo()


def empty_cache() -> None:
    """Give memory back that no array uses, on the GPU and pinned on the host."""
    load_cupy().get_default_memory_pool().free_all_blocks()
    load_cupy().get_default_pinned_memory_pool().free_all_blocks()


# --------------------------------------------------------------------------- random numbers


def manual_seed(seed: int) -> None:
    """Seed the generator, which is the same one for all devices: `minidl.manual_seed`."""
    random.manual_seed(seed)


manual_seed_all = manual_seed


# --------------------------------------------------------------------------- streams


class Stream:
    """A queue of work for the current GPU; work in different streams may overlap.

    Parameters
    ----------
    priority : int
        Lower numbers go first.
    """

    def __init__(self, priority: int = 0):
        self.native = load_cupy().cuda.Stream(non_blocking=True, priority=priority)

    def synchronize(self) -> None:
        """Wait until all its work is done."""
        self.native.synchronize()

    def query(self) -> bool:
        """Whether all its work is done."""
        return self.native.done

    def wait_event(self, event: Event) -> None:
        """Have later work wait for the event."""
        self.native.wait_event(event.native)

    def wait_stream(self, stream: Stream) -> None:
        """Have later work wait for all that ``stream`` has been told so far."""
        self.wait_event(stream.record_event())

    def record_event(self, event: Event | None = None) -> Event:
        """Mark this place in the queue."""
        event = Event() if event is None else event
        event.record(self)
        return event

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and self.native == other.native

    def __hash__(self) -> int:
        return hash(self.native)


def _around(native: Any) -> Stream:
    stream = object.__new__(Stream)
    stream.native = native
    return stream


def current_stream() -> Stream:
    """The stream that this thread's work goes to."""
    return _around(load_cupy().cuda.get_current_stream())


def default_stream() -> Stream:
    """The stream that work goes to unless another is chosen."""
    return _around(load_cupy().cuda.Stream.null)


@contextlib.contextmanager
def stream(stream: Stream | None) -> Iterator[None]:
    """Within the block, this thread's work goes to ``stream``; None changes nothing."""
    if stream is None:
        yield
        return
    with stream.native:
        yield


class Event:
    """A mark in a stream, to wait for or to measure time with.

    Parameters
    ----------
    enable_timing : bool
        Whether it notes the time.
    blocking : bool
        Whether `synchronize` sleeps instead of asking again and again.
    """

    def __init__(self, enable_timing: bool = False, blocking: bool = False):
        self.enable_timing = enable_timing
        self.native = load_cupy().cuda.Event(block=blocking, disable_timing=not enable_timing)

    def record(self, stream: Stream | None = None) -> None:
        """Put the mark at the end of the stream (the current one)."""
        self.native.record((stream or current_stream()).native)

    def wait(self, stream: Stream | None = None) -> None:
        """Have the stream's later work wait for the mark."""
        (stream or current_stream()).wait_event(self)

    def query(self) -> bool:
        """Whether the work before the mark is done."""
        return self.native.done

    def synchronize(self) -> None:
        """Wait for it."""
        self.native.synchronize()

    def elapsed_time(self, end_event: Event) -> float:
        """Milliseconds from this event to ``end_event``; both need ``enable_timing=True``."""
        if not (self.enable_timing and end_event.enable_timing):
            raise ValueError("elapsed_time: both events need enable_timing=True")
        return load_cupy().cuda.get_elapsed_time(self.native, end_event.native)

"""The machine's accelerator whatever it is, by the names of ``torch.accelerator``.

Here that is a GPU, or nothing. Source: https://pytorch.org/docs/stable/accelerator.html
"""

from __future__ import annotations

from minidl import cuda
from minidl.backend import Device

is_available, device_count, synchronize = cuda.is_available, cuda.device_count, cuda.synchronize
current_device_index, set_device_index = cuda.current_device, cuda.set_device
device_index, current_stream = cuda.device, cuda.current_stream
memory_allocated, memory_reserved = cuda.memory_allocated, cuda.memory_reserved
empty_cache = cuda.empty_cache


def current_accelerator() -> Device | None:
    """The kind of accelerator, ``device("cuda")``; None where there is none."""
    return Device("cuda") if is_available() else None


def set_stream(stream: cuda.Stream) -> None:
    """Have this thread's work go to ``stream`` from now on."""
    stream.native.use()

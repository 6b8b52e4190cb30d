"""Batches in pinned memory, from where a copy to a GPU need not be waited for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from minidl.autograd import TensorBase
from minidl.backend import CPU


def pin_memory(batch: Any) -> Any:
    """``batch`` with every tensor of the CPU in it in pinned memory; all else stays as it is.

    Mappings, named tuples, tuples and lists are gone through; an object that has a method
    ``pin_memory`` says itself what becomes of it.
    """
    if isinstance(batch, TensorBase):
        return batch.pin_memory() if batch.device == CPU else batch
    if hasattr(batch, "pin_memory"):
        return batch.pin_memory()
    if isinstance(batch, str | bytes):
        return batch
    if isinstance(batch, Mapping):
        return {key: pin_memory(item) for key, item in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*map(pin_memory, batch))
    if isinstance(batch, tuple):
        return tuple(map(pin_memory, batch))
    return list(map(pin_memory, batch)) if isinstance(batch, Sequence) else batch

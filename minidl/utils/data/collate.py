"""How samples become a batch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np

from minidl import ops
from minidl.autograd import TensorBase
from minidl.backend import float64


def default_collate(batch: Sequence[Any]) -> Any:
    """Samples put together in one structure, with a new first dimension for the batch.

    ====================================  ============================================
    samples                               batch
    ====================================  ============================================
    tensors, arrays                       a tensor, stacked
    numbers                               a tensor; Python floats become float64
    strings, bytes                        the sequence of them, as it is
    mappings                              a mapping of batches, by key
    named tuples                          a named tuple of batches
    tuples, lists                         a list of batches
    ====================================  ============================================

    Raises
    ------
    TypeError
        If a sample is, or contains, anything else.
    RuntimeError
        If shapes, or the lengths of tuples and lists, differ among the samples.
    """
    first = batch[0]
    if isinstance(first, TensorBase):
        return _stacked(batch)
    if isinstance(first, np.ndarray):
        return _stacked([_tensor_of(sample) for sample in batch])
    if isinstance(first, np.bool_ | np.number):
        return ops.from_numpy(np.array(batch))
    if isinstance(first, float):
        return ops.tensor(list(batch), dtype=float64)
    if isinstance(first, int):
        return ops.tensor(list(batch))
    if isinstance(first, str | bytes):
        return batch
    if isinstance(first, Mapping):
        values = {key: default_collate([sample[key] for sample in batch]) for key in first}
        return _mapping_like(first, values)
    if isinstance(first, Sequence):
        return _collated_columns(batch)
    raise TypeError(_unknown(first))


def default_convert(sample: Any) -> Any:
    """A sample with its arrays made tensors: what a loader without batches does."""
    if isinstance(sample, np.ndarray | np.bool_ | np.number):
        return _converted_array(np.asarray(sample))
    if isinstance(sample, str | bytes):
        return sample
    if isinstance(sample, Mapping):
        return _mapping_like(sample, {key: default_convert(sample[key]) for key in sample})
    if isinstance(sample, tuple) and hasattr(sample, "_fields"):
        return type(sample)(*map(default_convert, sample))
    if isinstance(sample, Sequence):
        return [default_convert(item) for item in sample]
    return sample


def collate_single(collate_fn: Callable, samples: Sequence[Any]) -> Any:
    """``collate_fn`` of the one sample that makes a "batch" where batching is off."""
    (sample,) = samples
    return collate_fn(sample)


def _stacked(tensors: Sequence[TensorBase]) -> TensorBase:
    for i, tensor in enumerate(tensors):
        if tensor.shape != tensors[0].shape:
            raise RuntimeError(
                "default_collate can stack only tensors of equal size, but got "
                f"{tensors[0].shape} at entry 0 and {tensor.shape} at entry {i}"
            )
    if any(tensor.requires_grad for tensor in tensors):
        return ops.stack(tensors)
    return ops.from_numpy(np.stack([tensor.array for tensor in tensors]))


def _tensor_of(array: np.ndarray) -> TensorBase:
    if array.dtype.kind not in "fiub":
        raise TypeError(f"default_collate cannot make a tensor of an array of {array.dtype}")
    return ops.from_numpy(array)


def _converted_array(array: np.ndarray) -> Any:
    return ops.from_numpy(array) if array.dtype.kind in "fiub" else array


def _collated_columns(batch: Sequence[Sequence]) -> Any:
    first = batch[0]
    if any(len(sample) != len(first) for sample in batch):
        raise RuntimeError("default_collate: each sample in a batch should be of equal length")
    columns = [default_collate(column) for column in zip(*batch, strict=True)]
    return type(first)(*columns) if hasattr(first, "_fields") else columns


def _mapping_like(pattern: Mapping, values: dict) -> Mapping:
    """``values`` as a mapping of the same type as ``pattern``, where that can be made."""
    if isinstance(pattern, MutableMapping):
        result = copy.copy(pattern)  # keeps what its constructor would want, a default factory
        result.update(values)
        return result
    return values


def _unknown(sample: Any) -> str:
    kind = type(sample)
    message = (
        "default_collate: samples must hold tensors, arrays, numbers, strings, dicts, tuples or "
        f"lists; found {kind.__module__}.{kind.__qualname__}"
    )
    if kind.__module__.startswith("PIL."):
        return message + "; add ToTensor() to the data set's transforms"
    return message + "; pass a collate_fn that knows it"

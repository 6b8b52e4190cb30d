"""Checkpoints: nested Python data with tensors, in one safetensors file.

The tensors are the file's tensors, named by their paths (``model.conv1.weight``), so any
reader of safetensors can open them. What holds them together, and numbers, strings and
the like, is JSON in the file's metadata, in which every value that JSON does not have as
such is an object with a single key::

    {"dict": {"lr": 0.1, "params": [0, 1]}}      {"items": [[0, ...]]}   keys not all strings
    {"tensor": "model.weight"}                   {"array": "rng"}
    {"tuple": [0.9, 0.999]}                      {"float": "nan"}        {"int": "-0x1f..."}

Reading one executes nothing. A checksum tells a damaged file from a whole one, and a
write is atomic: at any moment the path holds the old file or the new one.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections import OrderedDict
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

from minidl.backend import to_host
from minidl.files import write_atomically
from minidl.ops import from_numpy
from minidl.tensor import Tensor

_TREE, _CHECKSUM = "minidl", "minidl.sha256"  # the keys in the metadata
_DTYPES = (*"?bBhHiIlLqQefd",)  # of arrays: booleans, integers and floats up to 64 bits
_DEPTH = 100
_JSON_LIMIT = 50_000_000  # readers of safetensors refuse headers of 100 MB
_BIG = 1 << 63  # larger integers go in hexadecimal, which Python reads at any length


class CheckpointError(ValueError):
    """A file that is no checkpoint, or not a whole one."""


def save(obj: Any, path: str | os.PathLike) -> None:
    """Write ``obj`` to a file, atomically.

    Parameters
    ----------
    obj
        Tensors, arrays, numbers, strings, booleans and None, and dicts (with strings and
        integers as keys), lists and tuples of them. A NumPy scalar is saved as the Python
        number that it holds, an OrderedDict as a dict, a parameter as a tensor.
    path : path-like
        The file. If it exists it is replaced, once the new one is safely on the disk.

    Raises
    ------
    TypeError
        Naming the place in ``obj`` of what a checkpoint cannot hold.
    ValueError
        If ``obj`` contains itself, or too many numbers and strings outside of arrays.
    OSError
        If the file cannot be written; one that was there is left as it was.
    """
    writer = _Writer()
    tree = json.dumps(writer.encode(obj, "state", "", 0), allow_nan=False, separators=(",", ":"))
    if len(tree) > _JSON_LIMIT:
        raise ValueError(
            f"save: numbers and strings take {len(tree)} bytes, the limit is {_JSON_LIMIT}; "
            "put long rows of numbers into arrays"
        )
    metadata = {_TREE: tree, _CHECKSUM: _checksum(tree, writer.arrays)}
    write_atomically(path, to_bytes(writer.arrays, metadata), "the checkpoint")


def load(path: str | os.PathLike) -> Any:
    """Read what `save` wrote; of any other safetensors file, a dict of its tensors.

    Raises
    ------
    CheckpointError
        (a ValueError) Naming the file, if it is truncated, damaged, or no safetensors file.
    OSError
        If it cannot be read.
    """
    metadata, arrays = _read(os.fspath(path))
    if _TREE not in metadata and _CHECKSUM not in metadata:
        return {name: from_numpy(array) for name, array in arrays.items()}
    tree = metadata.get(_TREE, "")
    if metadata.get(_CHECKSUM) != _checksum(tree, arrays):
        raise CheckpointError(f"{path} is damaged: its contents do not have its checksum")
    try:
        return _decode(json.loads(tree), arrays)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path} has a structure that cannot be read: {error!r}") from None


def _read(path: str) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """The metadata and the tensors of a safetensors file."""
    with open(path, "rb"):
        pass  # the system's own error, if there is one, says more than the library's
    try:
        with safe_open(path, framework="np") as file:
            names = file.keys()
            arrays = {name: file.get_tensor(name) for name in names}
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise CheckpointError(f"{path} is no whole safetensors file: {error}") from None
    except (TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} holds a dtype that NumPy does not have: {error}") from None
    for name, array in arrays.items():
        if array.dtype.char not in _DTYPES:  # one that another package has taught NumPy
            raise CheckpointError(
                f"{path} holds a dtype that NumPy does not have: {name} is {array.dtype}"
            )
    return metadata, arrays


def _checksum(tree: str, arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256(tree.encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name}\0{array.dtype}{array.shape}".encode())
        digest.update(array.reshape(-1).view(np.uint8))
    return digest.hexdigest()


class _Writer:
    """Turns an object into JSON values, and gathers the arrays in it."""

    def __init__(self):
        self.arrays: dict[str, np.ndarray] = {}

    def encode(self, value: Any, place: str, path: str, depth: int) -> Any:
        """``value`` as JSON; ``place`` is where it stands in Python, ``path`` in tensor names."""
        if depth > _DEPTH:
            raise ValueError(f"save: {place} is more than {_DEPTH} levels deep, or contains itself")
        if isinstance(value, np.generic):
            value = value.item()
        kind = type(value)
        if value is None or kind in (bool, str):
            return value
        if kind is int:
            return value if abs(value) < _BIG else {"int": hex(value)}
        if kind is float:
            return value if math.isfinite(value) else {"float": repr(value)}
        if isinstance(value, Tensor):
            return {"tensor": self._add(to_host(value.array), place, path)}
        if isinstance(value, np.ndarray):
            return {"array": self._add(value, place, path)}
        if kind in (list, tuple):
            items = [
                self.encode(item, f"{place}[{i}]", _join(path, i), depth + 1)
                for i, item in enumerate(value)
            ]
            return items if kind is list else {"tuple": items}
        if kind in (dict, OrderedDict):
            return self._encode_dict(value, place, path, depth)
        raise TypeError(
            f"save: {place} is a {kind.__name__}; a checkpoint holds tensors, arrays, numbers, "
            "strings, booleans, None, and dicts, lists and tuples of them"
        )

    def _encode_dict(self, value: dict, place: str, path: str, depth: int) -> dict:
        for key in value:
            if type(key) not in (str, int):
                raise TypeError(
                    f"save: {place} has the key {key!r}, a {type(key).__name__}; "
                    "keys are strings or integers"
                )
        items = [
            [key, self.encode(item, f"{place}[{key!r}]", _join(path, key), depth + 1)]
            for key, item in value.items()
        ]
        if all(type(key) is str for key in value):
            return {"dict": dict(items)}
        return {"items": items}

    def _add(self, array: np.ndarray, place: str, path: str) -> str:
        """Keep an array under a name of its own, which is its path where that is free."""
        if array.dtype.char not in _DTYPES:
            raise TypeError(
                f"save: {place} has dtype {array.dtype}, which a checkpoint cannot hold"
            )
        wanted = path.encode("utf-8", "replace").decode() or "value"
        name, count = wanted, 1
        while name in self.arrays or name == "__metadata__":
            count += 1
            name = f"{wanted}#{count}"
        native = array.astype(array.dtype.newbyteorder("="), copy=False)
        self.arrays[name] = np.asarray(native, order="C")
        return name


def _join(path: str, key: str | int) -> str:
    return f"{path}.{key}" if path else str(key)


def _decode(node: Any, arrays: dict[str, np.ndarray]) -> Any:
    """What `_Writer.encode` was given; some error or other if the JSON is not of its making."""
    if isinstance(node, list):
        return [_decode(item, arrays) for item in node]
    if not isinstance(node, dict):
        return node
    ((kind, value),) = node.items()
    return _DECODERS[kind](value, arrays)


_DECODERS = {
    "dict": lambda value, arrays: {k: _decode(item, arrays) for k, item in value.items()},
    "items": lambda value, arrays: {k: _decode(item, arrays) for k, item in value},
    "tuple": lambda value, arrays: tuple(_decode(item, arrays) for item in value),
    "int": lambda value, arrays: int(value, 16),
    "float": lambda value, arrays: float(value),
    "tensor": lambda value, arrays: from_numpy(arrays[value]),
    "array": lambda value, arrays: arrays[value],
}

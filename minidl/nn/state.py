"""Putting a saved state back into tensors: all of it fits, or nothing changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from minidl.autograd import no_grad
from minidl.tensor import Tensor


class IncompatibleKeys(NamedTuple):
    """What did not match in `minidl.nn.Module.load_state_dict`."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"IncompatibleKeys(missing_keys={self[0]}, unexpected_keys={self[1]})"


def load_state(
    own: dict[str, Tensor], given: Mapping[str, Any], strict: bool, owner: str
) -> IncompatibleKeys:
    """Copy the values ``given`` into the tensors ``own``, converted to their dtypes.

    RuntimeError, in the name of ``owner`` and before any change, lists all that does not fit.
    """
    if not isinstance(given, Mapping):
        raise TypeError(f"a state_dict is a dictionary, got {type(given).__name__}")
    keys = IncompatibleKeys(
        missing_keys=[key for key in own if key not in given],
        unexpected_keys=[key for key in given if key not in own],
    )
    problems = [*(_key_problems(keys) if strict else ()), *_misfits(own, given)]
    if problems:
        lines = "".join(f"\n\t{problem}" for problem in problems)
        raise RuntimeError(f"Error(s) in loading state_dict for {owner}:{lines}")
    with no_grad():
        for key, tensor in own.items():
            if key in given:
                tensor.copy_(given[key])
    return keys


def _key_problems(keys: IncompatibleKeys) -> Iterator[str]:
    for kind, names in (("Missing", keys.missing_keys), ("Unexpected", keys.unexpected_keys)):
        if names:
            quoted = ", ".join(f'"{name}"' for name in names)
            yield f"{kind} key(s) in state_dict: {quoted}."


def _misfits(own: dict[str, Tensor], given: Mapping[str, Any]) -> Iterator[str]:
    for key, tensor in own.items():
        if key not in given:
            continue
        value = given[key]
        if not isinstance(value, Tensor | np.ndarray) or value.dtype.kind not in "fiub":
            yield f'"{key}" should be a tensor, got {type(value).__name__}.'
        elif value.shape != tensor.shape:
            yield (
                f"size mismatch for {key}: copying a tensor of shape {value.shape} from the "
                f"state_dict, the shape in this module is {tensor.shape}."
            )

"""Parameter: a tensor that a module learns."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl import backend
from minidl.autograd import wrap
from minidl.backend import to_device, to_host
from minidl.ops import as_tensor, empty
from minidl.tensor import Tensor


class Parameter(Tensor):
    """A tensor that a module finds in its attributes and an optimizer changes.

    Parameters
    ----------
    data : Tensor or array_like
        The initial values; a tensor's or an array's memory is shared, not copied.
    requires_grad : bool
        Whether backward fills in its gradient; RuntimeError if the dtype is an integer's.
    """

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True):
        values = as_tensor(data)
        self.array, self.version = values.array, values.version
        self.view_version = None
        self.grad = None
        self.place = None
        self.requires_grad_(requires_grad)

    def __deepcopy__(self, memo: dict) -> Parameter:
        twin = Parameter(wrap(self.array.copy()), self.requires_grad)
        memo[id(self)] = twin
        return twin

    def __reduce__(self) -> tuple:
        return _rebuilt, (to_host(self.array), self.requires_grad, str(self.device))

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"


def new_parameter(*size: int, device: Any = None, dtype: Any = None) -> Parameter:
    """A parameter whose values are still to be set, on the default device and of the default dtype.

    Parameters
    ----------
    *size : int
        Its shape.
    device, dtype : optional
        Where it lies and of which dtype it is, if not the defaults.
    """
    return Parameter(empty(*size, device=device, dtype=dtype))


def _rebuilt(array: np.ndarray, requires_grad: bool, place: str) -> Parameter:
    return Parameter(wrap(to_device(array, backend.device(place))), requires_grad)

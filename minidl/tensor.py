"""Tensor: an array with a place in the graph; thin methods over the operators."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from minidl import autograd, backend, ops
from minidl.autograd import Leaf, RemovableHandle, TensorBase, update_inplace
from minidl.backend import (
    CPU,
    Device,
    bool_,
    device_of,
    float16,
    float32,
    float64,
    get_default_dtype,
    indexed,
    int16,
    int32,
    int64,
    is_array,
    is_pinned,
    pinned,
    to_device,
    to_host,
    uint8,
)
from minidl.ops import comparison, creation, elementwise, index, linalg, reduce, shape
from minidl.ops.shape import expand_as, view_as
from minidl.printing import values_text

_OPERANDS = (TensorBase, np.ndarray, np.generic, int, float)


def _in_place(operator: Callable) -> Callable:
    """The method that puts the result of ``operator`` into the tensor itself."""

    @functools.wraps(operator)
    def method(self: Tensor, *args: Any, **options: Any) -> Tensor:
        return update_inplace(self, operator, *args, **options)

    method.__name__ = f"{operator.__name__}_"
    method.__doc__ = f"`{operator.__name__}` with its result in the place of this tensor's values."
    return method


class Tensor(TensorBase):
    """A multi-dimensional array that remembers how it was computed.

    Made by `minidl.tensor`, `minidl.zeros` and their like, or by operators; the methods are
    the operators of the same name, with PyTorch's arguments.
    """

    __slots__ = ()
    __array_priority__ = 1000  # so that ``array + tensor`` asks the tensor
    __hash__ = object.__hash__

    def __init__(self, *args: object):
        raise TypeError("make a tensor with minidl.tensor(data), not with Tensor(data)")

    # ----------------------------------------------------------------- what it is

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def dtype(self) -> np.dtype:
        return self.array.dtype

    @property
    def device(self) -> Device:
        return device_of(self.array)

    @property
    def is_cuda(self) -> bool:
        """Whether the values lie on a GPU."""
        return self.device.type == "cuda"

    @property
    def ndim(self) -> int:
        return self.array.ndim

    @property
    def is_leaf(self) -> bool:
        """Whether it was made by the user and not by a recorded operator."""
        return self.place is None or isinstance(self.place, Leaf)

    @property
    def requires_grad(self) -> bool:
        return self.place is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        creation.require_grad(self, value)

    requires_grad_ = creation.require_grad

    @property
    def grad_fn(self) -> autograd.Node | None:
        """The node of the operator that made it; None for a leaf."""
        return None if self.is_leaf else self.place.node

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of one dimension."""
        return self.shape if dim is None else self.shape[dim]

    def dim(self) -> int:
        """The number of dimensions."""
        return self.array.ndim

    def numel(self) -> int:
        """The number of elements."""
        return self.array.size

    def element_size(self) -> int:
        """Bytes per element."""
        return self.array.itemsize

    def is_floating_point(self) -> bool:
        """Whether the dtype is a floating-point one."""
        return self.array.dtype.kind == "f"

    def is_contiguous(self) -> bool:
        """Whether the elements lie in memory in row-major order."""
        return self.array.flags.c_contiguous

    # ----------------------------------------------------------------- out of the graph

    @property
    def data(self) -> Tensor:
        """The same memory outside the graph; assigning a tensor to it takes over its memory.

        That tensor may have another shape and floating-point dtype. TypeError for integers if
        this one requires a gradient, RuntimeError for another shape or dtype of a result whose
        graph exists.

        Other than in PyTorch, changes of ``data`` count as changes of the tensor, so that no
        gradient comes out wrong because of one.
        """
        return self.detach()

    @data.setter
    def data(self, value: Tensor) -> None:
        if self.requires_grad and value.array.dtype.kind != "f":
            raise TypeError(f"data: a tensor that requires a gradient cannot hold {value.dtype}")
        autograd.replace_array(self, value.array, value.version)

    def detach(self) -> Tensor:
        """The same memory, outside the graph."""
        detached = autograd.wrap(self.array)
        detached.version = self.version
        return detached

    def detach_(self) -> Tensor:
        """This very tensor taken out of the graph: a leaf that requires no gradient."""
        self.place, self.view_version = None, None
        return self

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """The values as a NumPy array that shares memory; with ``force`` a copy if need be."""
        autograd.reading(self, "numpy()")
        if force:
            self.version[2] = 1
            return to_host(self.array)
        if self.device != CPU:
            raise TypeError(f"a tensor on {self.device} has no numpy(): use cpu().numpy()")
        if self.requires_grad:
            raise RuntimeError("a tensor in the graph has no numpy(): use detach().numpy()")
        self.version[2] = 1
        return self.array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def item(self) -> Any:
        """The value of a tensor with one element, as a Python number."""
        if self.array.size != 1:
            raise ValueError(f"item: wants one element, got shape {self.shape}")
        autograd.reading(self, "item()")
        return self.array.item()

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers."""
        autograd.reading(self, "tolist()")
        return self.array.tolist()

    # ----------------------------------------------------------------- the graph

    def backward(
        self,
        gradient: Tensor | None = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
    ) -> None:
        """Add this tensor's gradient to the ``grad`` of the leaves: see `autograd.backward`."""
        autograd.backward(self, gradient, retain_graph, create_graph)

    def register_hook(self, hook: Callable) -> RemovableHandle:
        """Call ``hook(gradient)`` once the gradient is complete; what it returns replaces it."""
        return autograd.add_hook(self, hook)

    def retain_grad(self) -> None:
        """Have backward fill in ``grad`` although this is not a leaf."""
        if not self.is_leaf and not self.retains_grad:
            autograd.add_hook(self, autograd.Leaf(self).accumulate)

    @property
    def retains_grad(self) -> bool:
        """Whether `retain_grad` was called on this tensor, which is no leaf."""
        if self.is_leaf:
            return False
        hooks = (self.place.node.hooks or {}).get(self.place.index, [])
        return any(isinstance(getattr(hook, "__self__", None), Leaf) for hook in hooks)

    # ----------------------------------------------------------------- conversion

    def to(self, *args: Any, **options: Any) -> Tensor:
        """Converted to a dtype, moved to a device, or both; itself if nothing changes.

        ``to(dtype)``, ``to(device, dtype)`` or ``to(other)`` for both of another tensor.

        Parameters
        ----------
        dtype, device : optional
            What to convert to and where to move.
        non_blocking : bool
            Whether the host goes on at once where it can: from pinned memory to a GPU.
        copy : bool
            Whether to copy where nothing changes.
        """
        wanted = destination(*args, **options)
        dtype, result = wanted.dtype or self.dtype, self
        if dtype.itemsize <= self.dtype.itemsize:  # the fewer bytes travel
            result = result._converted(dtype)
        if wanted.device is not None and wanted.device != self.device:
            place, source = wanted.device, self.device
            result = elementwise.moved(result, place, source, wanted.non_blocking)
        result = result._converted(dtype)
        return result.clone() if wanted.copy and result is self else result

    def _converted(self, dtype: np.dtype) -> Tensor:
        return self if dtype == self.array.dtype else elementwise.to(self, dtype)

    def type(self, dtype: Any) -> Tensor:
        """Converted to ``dtype``."""
        return self.to(dtype)

    def type_as(self, other: Tensor) -> Tensor:
        """Converted to the dtype and moved to the device of ``other``."""
        return self.to(other)

    def cpu(self) -> Tensor:
        """On the CPU."""
        return self.to("cpu")

    def cuda(self, device: Any = None, non_blocking: bool = False) -> Tensor:
        """On a GPU, the current one unless ``device`` says which."""
        place = "cuda" if device is None else device
        return self.to(device=place, non_blocking=non_blocking)

    def pin_memory(self) -> Tensor:
        """In pinned memory, from where ``to("cuda", non_blocking=True)`` need not wait."""
        if self.device != CPU:
            raise RuntimeError(f"only memory of the host can be pinned, not that of {self.device}")
        pages = pinned(self.array)
        return self if pages is self.array else autograd.wrap(pages)

    def is_pinned(self) -> bool:
        """Whether the values lie in pinned memory."""
        return is_pinned(self.array)

    def half(self) -> Tensor:
        return self.to(float16)

    def float(self) -> Tensor:
        return self.to(float32)

    def double(self) -> Tensor:
        return self.to(float64)

    def short(self) -> Tensor:
        return self.to(int16)

    def int(self) -> Tensor:
        return self.to(int32)

    def long(self) -> Tensor:
        return self.to(int64)

    def byte(self) -> Tensor:
        return self.to(uint8)

    def bool(self) -> Tensor:
        return self.to(bool_)

    def contiguous(self) -> Tensor:
        """In row-major memory order: itself if it is already."""
        return self if self.is_contiguous() else self.clone()

    # ----------------------------------------------------------------- new ones like it

    def new_zeros(self, *size: Any) -> Tensor:
        """Zeros of this dtype, on this device."""
        return creation.zeros(*size, dtype=self.dtype, device=self.device)

    def new_ones(self, *size: Any) -> Tensor:
        """Ones of this dtype, on this device."""
        return creation.ones(*size, dtype=self.dtype, device=self.device)

    def new_full(self, size: Any, fill_value: Any) -> Tensor:
        """``fill_value`` everywhere, in this dtype and on this device."""
        return creation.full(size, fill_value, dtype=self.dtype, device=self.device)

    def new_tensor(self, data: Any) -> Tensor:
        """``data`` in this dtype and on this device."""
        return creation.tensor(data, dtype=self.dtype, device=self.device)

    # ----------------------------------------------------------------- arithmetic

    __add__ = __radd__ = add = ops.add
    __sub__ = sub = ops.sub
    __mul__ = __rmul__ = mul = ops.mul
    __truediv__ = div = ops.div
    __pow__ = pow = ops.pow
    __mod__ = remainder = ops.remainder
    __floordiv__ = floor_divide = ops.floor_divide
    __neg__ = neg = ops.neg
    __abs__ = abs = ops.abs
    __lt__ = lt = ops.lt
    __le__ = le = ops.le
    __gt__ = gt = ops.gt
    __ge__ = ge = ops.ge
    __matmul__ = matmul = ops.matmul
    eq, ne = ops.eq, ops.ne
    __and__ = __rand__ = comparison.bitwise_and
    __or__ = __ror__ = comparison.bitwise_or
    __xor__ = __rxor__ = comparison.bitwise_xor
    __invert__ = comparison.bitwise_not

    def __pos__(self) -> Tensor:
        return self

    def __eq__(self, other: object) -> Any:
        return ops.eq(self, other) if isinstance(other, _OPERANDS) else NotImplemented

    def __ne__(self, other: object) -> Any:
        return ops.ne(self, other) if isinstance(other, _OPERANDS) else NotImplemented

    def __rsub__(self, other: Any) -> Tensor:
        return ops.sub(other, self)

    def __rtruediv__(self, other: Any) -> Tensor:
        return ops.div(other, self)

    def __rpow__(self, other: Any) -> Tensor:
        return ops.pow(other, self)

    def __rmod__(self, other: Any) -> Tensor:
        return ops.remainder(other, self)

    def __rfloordiv__(self, other: Any) -> Tensor:
        return ops.floor_divide(other, self)

    def __rmatmul__(self, other: Any) -> Tensor:
        return ops.matmul(other, self)

    # ----------------------------------------------------------------- operators as methods

    isnan, isinf, isfinite = ops.isnan, ops.isinf, ops.isfinite
    logical_and, logical_or, logical_not = ops.logical_and, ops.logical_or, ops.logical_not
    maximum, minimum, clamp = ops.maximum, ops.minimum, ops.clamp
    exp, expm1, log, log1p = ops.exp, ops.expm1, ops.log, ops.log1p
    sqrt, rsqrt, square, reciprocal = ops.sqrt, ops.rsqrt, ops.square, ops.reciprocal
    sin, cos, tanh, erf = ops.sin, ops.cos, ops.tanh, ops.erf
    sign, floor, ceil, round = ops.sign, ops.floor, ops.ceil, ops.round
    relu, sigmoid = ops.relu, ops.sigmoid
    softmax, log_softmax = ops.softmax, ops.log_softmax
    clone = ops.clone

    sum, mean, var, std, prod, norm = ops.sum, ops.mean, ops.var, ops.std, ops.prod, ops.norm
    max, min, amax, amin = ops.max, ops.min, ops.amax, ops.amin
    argmax, argmin, any, all = ops.argmax, ops.argmin, ops.any, ops.all
    logsumexp, cumsum = ops.logsumexp, ops.cumsum
    sum_to_size = reduce.sum_to_size

    transpose, t, squeeze, unsqueeze = ops.transpose, ops.t, ops.squeeze, ops.unsqueeze
    flatten, narrow = ops.flatten, ops.narrow
    split, chunk, unbind = ops.split, ops.chunk, ops.unbind
    roll = ops.roll
    view_as, expand_as = view_as, expand_as

    gather, scatter, scatter_add = ops.gather, ops.scatter, ops.scatter_add
    index_select, masked_fill = ops.index_select, ops.masked_fill
    sort, argsort, topk = ops.sort, ops.argsort, ops.topk
    mm, bmm, outer = ops.mm, ops.bmm, ops.outer

    def where(self, condition: Tensor, other: Any) -> Tensor:
        """These elements where ``condition`` holds, those of ``other`` elsewhere."""
        return ops.where(condition, self, other)

    def reshape(self, *size: Any) -> Tensor:
        """See `minidl.reshape`; sizes may be given one by one or as a tuple."""
        return shape.reshape(self, shape.shape_of(size))

    def view(self, *size: Any) -> Tensor:
        """`reshape` that never copies."""
        return shape.view(self, shape.shape_of(size))

    def permute(self, *dims: Any) -> Tensor:
        """See `minidl.permute`."""
        return shape.permute(self, shape.shape_of(dims))

    def expand(self, *size: Any) -> Tensor:
        """Dimensions of size 1 repeated to ``size`` without copying; -1 keeps a size."""
        return shape.expand(self, shape.shape_of(size))

    def repeat(self, *repeats: Any) -> Tensor:
        """The whole tensor tiled ``repeats`` times along each dimension."""
        return shape.repeat(self, shape.shape_of(repeats))

    def flip(self, *dims: Any) -> Tensor:
        """See `minidl.flip`."""
        return shape.flip(self, shape.shape_of(dims))

    @property
    def T(self) -> Tensor:
        """The dimensions in reverse order."""
        return shape.permute(self, tuple(reversed(range(self.ndim))))

    @property
    def mT(self) -> Tensor:
        """The last two dimensions exchanged."""
        return linalg.mT(self)

    # ----------------------------------------------------------------- in place

    add_, sub_, mul_, div_ = map(_in_place, (ops.add, ops.sub, ops.mul, ops.div))
    pow_, neg_, abs_, clamp_ = map(_in_place, (ops.pow, ops.neg, ops.abs, ops.clamp))
    exp_, log_, sqrt_, rsqrt_ = map(_in_place, (ops.exp, ops.log, ops.sqrt, ops.rsqrt))
    relu_, sigmoid_, tanh_ = map(_in_place, (ops.relu, ops.sigmoid, ops.tanh))
    floor_, ceil_, round_ = map(_in_place, (ops.floor, ops.ceil, ops.round))
    scatter_, scatter_add_ = map(_in_place, (ops.scatter, ops.scatter_add))
    masked_fill_ = _in_place(ops.masked_fill)
    __iadd__, __isub__, __imul__, __itruediv__, __ipow__ = add_, sub_, mul_, div_, pow_

    def copy_(self, other: Any, non_blocking: bool = False) -> Tensor:
        """The values of ``other``, of whatever dtype and device, in the place of this one's."""
        if isinstance(other, TensorBase):
            other = other.to(device=self.device, non_blocking=non_blocking)
        elif is_array(other):
            other = to_device(other, self.device)
        return update_inplace(self, elementwise.replaced, other)

    def fill_(self, value: Any) -> Tensor:
        """Set every element to ``value``."""
        return self.copy_(value)

    def zero_(self) -> Tensor:
        """Set every element to 0."""
        return self.copy_(0)

    # ----------------------------------------------------------------- as a Python object

    __getitem__ = index.getitem
    __setitem__ = index.setitem

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("a 0-d tensor has no len()")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self.shape:
            raise TypeError("cannot iterate over a 0-d tensor")
        return (self[i] for i in range(self.shape[0]))

    def __contains__(self, value: Any) -> bool:
        return isinstance(value, _OPERANDS) and bool((self == value).any())

    def __bool__(self) -> bool:
        if self.array.size != 1:
            raise ValueError(
                f"the truth of a tensor of shape {self.shape} is ambiguous: use any() or all()"
            )
        autograd.reading(self, "its truth (if, while, and, or, not)")
        return bool(self.array.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.array.dtype.kind not in "iu":
            raise TypeError(f"only an integer tensor can be an index, got {self.dtype}")
        return self.item()

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec or self.ndim == 0 else str(self)

    def __deepcopy__(self, memo: dict) -> Tensor:
        if not self.is_leaf:
            raise RuntimeError("only a leaf can be deep-copied; clone() or detach() the tensor")
        twin = autograd.wrap(self.array.copy())
        if self.requires_grad:
            creation.require_grad(twin)
        twin.grad = copy.deepcopy(self.grad, memo)
        memo[id(self)] = twin
        return twin

    def __reduce__(self) -> tuple:
        if not self.is_leaf:
            raise RuntimeError("only a leaf can be pickled; detach() the tensor first")
        return _rebuilt, (to_host(self.array), self.requires_grad, str(self.device))

    def __repr__(self) -> str:
        autograd.reading(self, "its text")
        facts = [values_text(to_host(self.array))]
        if self.device != CPU:
            facts.append(f"device='{self.device}'")
        if self.array.size == 0 and self.ndim != 1:
            facts.append(f"size={self.shape}")
        if self.dtype not in (get_default_dtype(), int64, bool_):
            facts.append(f"dtype={self.dtype}")
        if not self.is_leaf:
            facts.append(f"grad_fn=<{self.grad_fn.op.name}>")
        elif self.requires_grad:
            facts.append("requires_grad=True")
        return f"tensor({', '.join(facts)})"


class Destination(NamedTuple):
    """What `Tensor.to` was asked for."""

    dtype: np.dtype | None
    device: Device | None
    non_blocking: bool
    copy: bool


def destination(
    *args: Any,
    dtype: Any = None,
    device: Any = None,
    non_blocking: bool = False,
    copy: bool = False,
) -> Destination:
    """What ``to(*args, ...)`` stands for: a dtype, a device, a tensor that has them, and flags."""
    flags = [arg for arg in args if isinstance(arg, bool)]
    for arg in args[: len(args) - len(flags)]:
        if isinstance(arg, TensorBase):
            dtype, device = arg.dtype, arg.device
        elif _names_device(arg):
            device = arg
        elif arg is not None:
            dtype = arg
    return Destination(
        None if dtype is None else np.dtype(dtype),
        None if device is None else indexed(backend.device(device)),
        *flags,
        *(non_blocking, copy)[len(flags) :],
    )


def _names_device(arg: Any) -> bool:
    return isinstance(arg, Device | int) or (isinstance(arg, str) and not _is_dtype(arg))


def _is_dtype(name: str) -> bool:
    try:
        np.dtype(name)
    except TypeError:
        return False
    return True


def _rebuilt(array: np.ndarray, requires_grad: bool, place: str) -> Tensor:
    return creation.leaf(to_device(array, backend.device(place)), requires_grad)


autograd.set_tensor_type(Tensor)

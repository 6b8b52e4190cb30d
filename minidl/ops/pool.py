"""Pooling: the largest element or the mean of windows of a picture.

Maximum pooling also returns where it found each maximum; its gradient goes back there (a
scatter), and that gradient's gradient comes from there (a gather). A mean is linear, so the
two operators of average pooling are each other's gradients.

Sizes and arguments are PyTorch's:
https://pytorch.org/docs/stable/generated/torch.nn.MaxPool2d.html
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from minidl import kernels
from minidl.autograd import op
from minidl.kernels.launch import planned
from minidl.ops.pair import Pair, Sizes, pair
from minidl.ops.shape import squeeze, unsqueeze

# --------------------------------------------------------------------------- operators


@op
@planned
def _max_pool2d(input, kernel_size, stride, padding, dilation, size):
    """The maxima, and their indices in the plane H * W."""
    _check_floating(input)
    return kernels.max_pool2d(input, kernel_size, stride, padding, dilation, size)


@op
@planned
def _max_pool2d_scatter(grad, indices, size, windows):
    """Each element added to the place in its plane that its index names."""
    return kernels.max_pool2d_scatter(grad, indices, size, windows)


@op
@planned
def _max_pool2d_gather(input, indices, windows):
    """The elements of each plane that the indices name."""
    return kernels.max_pool2d_gather(input, indices)


_max_pool2d.vjp(
    lambda g, y, _x, *how: _max_pool2d_scatter(g[0], y[1], _x.shape[2:], how[:4]),
    arrays=[lambda g, y, _x, *how: kernels.max_pool2d_scatter(g[0], y[1], _x.shape[2:], how[:4])],
)
_max_pool2d_scatter.vjp(
    lambda g, _y, _grad, indices, _size, windows: _max_pool2d_gather(g, indices, windows)
)
_max_pool2d_gather.vjp(
    lambda g, _y, _x, indices, windows: _max_pool2d_scatter(g, indices, _x.shape[2:], windows)
)


@op
@planned
def _avg_pool2d(input, rows, columns, scale):
    """The sum over each window, times ``scale``."""
    _check_floating(input)
    return kernels.avg_pool2d(input, rows, columns, scale)


@op
@planned
def _avg_pool2d_grad(grad, rows, columns, scale, size):
    """Each element, times ``scale``, added to its window in planes of ``size``."""
    return kernels.avg_pool2d_grad(grad, rows, columns, scale, size)


_avg_pool2d.vjp(
    lambda g, _y, _x, rows, columns, scale: _avg_pool2d_grad(g, rows, columns, scale, _x.shape[2:])
)
_avg_pool2d_grad.vjp(
    lambda g, _y, _grad, rows, columns, scale, _size: _avg_pool2d(g, rows, columns, scale)
)


# --------------------------------------------------------------------------- functions


def max_pool2d(
    input: Any,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest element of each window.

    Of equal elements the first gets the gradient. A window with NaN in it yields NaN.

    Parameters
    ----------
    input : Tensor
        (N, C, H, W), or (C, H, W) for one picture.
    kernel_size : int or pair of int
        The height and width of the window, in pixels.
    stride : int or pair of int, optional
        Steps between windows; by default as large as the window.
    padding : int or pair of int
        How far the windows start outside of the picture; at most half the window.
    dilation : int or pair of int
        Steps between the pixels of a window.
    ceil_mode : bool
        Also keep the windows that reach over the padded picture's end.
    return_indices : bool
        Also return where the maxima are: indices into the flattened plane H * W.

    Returns
    -------
    Tensor, or tuple of two Tensors
        (N, C, (H + 2 * padding - dilation * (kernel_size - 1) - 1) // stride + 1, ...), or
        without N; with ``return_indices`` the indices, int64, of the same shape.

    Raises
    ------
    ValueError
        If the arguments do not fit the input.
    TypeError
        If the input is not floating point.
    """
    windows = *_window(kernel_size, stride, padding), pair(dilation, "dilation", 1)
    shape = input.shape
    size = _output_size("max_pool2d", shape, *windows, bool(ceil_mode))
    if windows[3] != (1, 1):
        _check_not_empty(shape, size, *windows)
    if len(shape) == 4:
        values, indices = _max_pool2d(input, *windows, size)
    else:
        found = _max_pool2d(unsqueeze(input, 0), *windows, size)
        values, indices = (squeeze(part, 0) for part in found)
    return (values, indices) if return_indices else values


def avg_pool2d(
    input: Any,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """The mean of each window.

    Parameters
    ----------
    input : Tensor
        (N, C, H, W), or (C, H, W) for one picture.
    kernel_size, stride, padding, ceil_mode
        As for `max_pool2d`; the padding is zeros.
    count_include_pad : bool
        Whether the padding counts in the mean.
    divisor_override : int, optional
        What to divide the sum by instead of the number of elements.

    Returns
    -------
    Tensor
        (N, C, (H + 2 * padding - kernel_size) // stride + 1, ...), or without N.

    Raises
    ------
    ValueError
        If the arguments do not fit the input.
    TypeError
        If the input is not floating point.
    """
    if divisor_override == 0:
        raise ValueError("avg_pool2d: divisor_override must not be 0")
    kernel, stride, padding = _window(kernel_size, stride, padding)
    how = kernel, stride, padding, (1, 1), bool(ceil_mode)
    windows, counts = [], []
    for axis, out in enumerate(_output_size("avg_pool2d", input.shape, *how)):
        size = input.shape[axis - 2]
        start = np.arange(out) * stride[axis] - padding[axis]
        stop = np.minimum(start + kernel[axis], size + padding[axis])
        inside = np.stack((np.maximum(start, 0), np.minimum(stop, size)), 1)
        windows.append(inside)
        counts.append(stop - start if count_include_pad else inside[:, 1] - inside[:, 0])
    counted = np.outer(*counts)
    if divisor_override is not None:
        counted = np.full(counted.shape, divisor_override)
    return _averaged(input, *windows, 1 / counted)


def adaptive_avg_pool2d(input: Any, output_size: int | Sequence[int | None] | None) -> Any:
    """The mean of each of as many windows as there shall be outputs.

    Window i of n along an axis of size h is ``floor(i * h / n)`` to ``ceil((i + 1) * h / n)``.

    Parameters
    ----------
    input : Tensor
        (N, C, H, W), or (C, H, W) for one picture.
    output_size : int, None or pair of them
        Height and width of the result; None keeps the input's.

    Returns
    -------
    Tensor
        (N, C, *output_size), or without N.

    Raises
    ------
    ValueError
        If the output size is not one or two positive integers or None.
    TypeError
        If the input is not floating point.
    """
    _check_dims("adaptive_avg_pool2d", input.shape)
    sizes = tuple(output_size) if isinstance(output_size, Sequence) else (output_size,) * 2
    if len(sizes) != 2:
        raise ValueError(f"adaptive_avg_pool2d: output_size must be two sizes, got {output_size}")
    sizes = tuple(have if want is None else want for have, want in zip(input.shape[-2:], sizes))
    rows, columns = (
        _equal_windows(have, want)
        for have, want in zip(input.shape[-2:], pair(sizes, "output_size", 1))
    )
    counts = np.outer(rows[:, 1] - rows[:, 0], columns[:, 1] - columns[:, 0])
    return _averaged(input, rows, columns, 1 / counts)


def _equal_windows(size: int, out: int) -> np.ndarray:
    places = np.arange(out)
    return np.stack((places * size // out, -(-(places + 1) * size // out)), 1)


def _averaged(input: Any, rows: np.ndarray, columns: np.ndarray, scale: np.ndarray) -> Any:
    for table in (rows, columns, scale):
        table.flags.writeable = False  # nobody changes it, and a compiled step may rely on it
    if input.ndim == 4:
        return _avg_pool2d(input, rows, columns, scale)
    return squeeze(_avg_pool2d(unsqueeze(input, 0), rows, columns, scale), 0)


# --------------------------------------------------------------------------- arguments


def _window(kernel_size: Sizes, stride: Sizes | None, padding: Sizes) -> tuple[Pair, Pair, Pair]:
    """Kernel size, stride and padding as pairs."""
    kernel = pair(kernel_size, "kernel_size", 1)
    stride = kernel if stride is None else pair(stride, "stride", 1)
    return kernel, stride, pair(padding, "padding", 0)


@functools.lru_cache(maxsize=1024)
def _output_size(
    name: str,
    shape: tuple[int, ...],
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    ceil_mode: bool,
) -> Pair:
    """How many windows fit along height and width of an input of ``shape``; ValueError if none."""
    _check_dims(name, shape)
    if any(2 * p > k for p, k in zip(padding, kernel)):
        raise ValueError(
            f"{name}(input {shape}): padding {padding} is more than half of kernel_size {kernel}"
        )
    height, width = (
        _windows_along(*line, ceil_mode)
        for line in zip(shape[-2:], kernel, stride, padding, dilation)
    )
    if height < 1 or width < 1:
        raise ValueError(
            f"{name}(input {shape}): the window {kernel}, dilation {dilation}, is larger than the "
            f"input with padding {padding}"
        )
    return height, width


def _windows_along(
    size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool
) -> int:
    """How many windows fit along one axis."""
    room = size + 2 * padding - (dilation * (kernel - 1) + 1)
    out = (room + (stride - 1 if ceil_mode else 0)) // stride + 1
    if ceil_mode and (out - 1) * stride >= size + padding:
        out -= 1  # the last window would start in the padding behind
    return out


def _check_not_empty(
    shape: tuple[int, ...], size: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> None:
    """ValueError if all taps of a dilated window miss the picture, so that it has no maximum."""
    for axis in (0, 1):
        step, start = dilation[axis], np.arange(size[axis]) * stride[axis] - padding[axis]
        first = start + -(np.minimum(start, 0) // step) * step
        if (first >= np.minimum(start + kernel[axis] * step, shape[axis - 2])).any():
            raise ValueError(
                f"max_pool2d(input {shape}): with window {kernel}, dilation {dilation} and "
                f"padding {padding}, a window has no pixel of the input in it"
            )


def _check_dims(name: str, shape: tuple[int, ...]) -> None:
    if len(shape) not in (3, 4) or not all(shape[-3:]):
        raise ValueError(
            f"{name}: wants an input (N, C, H, W) or (C, H, W) where only N may be 0, got shape "
            f"{shape}"
        )


def _check_floating(input: Any) -> None:
    if input.dtype.kind != "f":
        raise TypeError(f"wants a floating-point input, got {input.dtype}")

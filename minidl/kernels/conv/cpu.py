"""Two-dimensional convolution in Numba: which kernels run.

With many channels all goes to `minidl.kernels.conv.wide`, see there. Elsewhere the forward
pass is dense, and gradients have two roads: `minidl.kernels.conv.sparse`, if at most a quarter
of the result's gradient is not zero, as behind ReLU and pooling, and else
`minidl.kernels.conv.dense`. Which one is decided by the numbers, so both are launched, and
one of them returns at once. Long filters, see `minidl.kernels.conv.sparse.suits`, and groups
always take the dense one; float16 takes the reference.
"""

from __future__ import annotations

import numpy as np

from minidl.kernels.conv import dense, pooled, reference, sparse, wide
from minidl.kernels.conv.reference import Grads, How, Needs, Padding, Pair, output_size
from minidl.kernels.jit import FLOATS
from minidl.kernels.launch import contiguous, empty, is_planned, planned, unplanned


@planned
def conv2d(
    x: np.ndarray,
    w: np.ndarray,
    bias: np.ndarray | None,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
    relu: bool = False,
) -> np.ndarray:
    """See `minidl.kernels.conv.reference.conv2d`."""
    if not _covered(x, w):
        return unplanned(reference.conv2d, x, w, bias, stride, padding, dilation, groups, relu)
    if wide.suits(w.shape, groups):
        return wide.conv2d(x, w, bias, stride, padding, dilation, relu)
    return dense.conv2d(x, w, bias, (stride, padding, dilation, groups), relu)


@planned
def conv2d_input_grad(
    g: np.ndarray,
    w: np.ndarray,
    input_shape: tuple[int, int, int, int],
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
) -> np.ndarray:
    """See `minidl.kernels.conv.reference.conv2d_input_grad`."""
    how = stride, padding, dilation, groups
    if not _covered(g, w):
        return unplanned(reference.conv2d_input_grad, g, w, input_shape, *how)
    return _grads(g, None, w, input_shape, w.shape, how, (True, False, False))[0]


@planned
def conv2d_weight_grad(
    g: np.ndarray,
    x: np.ndarray,
    weight_shape: tuple[int, int, int, int],
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
) -> np.ndarray:
    """See `minidl.kernels.conv.reference.conv2d_weight_grad`."""
    how = stride, padding, dilation, groups
    if not _covered(g, x):
        return unplanned(reference.conv2d_weight_grad, g, x, weight_shape, *how)
    return _grads(g, x, None, x.shape, weight_shape, how, (False, True, False))[1]


@planned
def conv2d_grads(
    g: np.ndarray,
    x: np.ndarray,
    w: np.ndarray,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
    needs: Needs = (True, True, True),
) -> Grads:
    """See `minidl.kernels.conv.reference.conv2d_grads`."""
    how = stride, padding, dilation, groups
    if not _covered(g, x, w):
        return unplanned(reference.conv2d_grads, g, x, w, *how, needs)
    shapes = x.shape, w.shape
    return _grads(g, x if needs[1] else None, w if needs[0] else None, *shapes, how, needs)


@planned
def conv2d_relu_max_pool2d(
    x: np.ndarray,
    w: np.ndarray,
    bias: np.ndarray | None,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
) -> tuple[np.ndarray, np.ndarray]:
    """See `minidl.kernels.conv.reference.conv2d_relu_max_pool2d`."""
    how = stride, padding, dilation, groups
    if not _covered(x, w):
        return unplanned(reference.conv2d_relu_max_pool2d, x, w, bias, *how)
    if wide.suits(w.shape, groups):
        return pooled.pool(wide.conv2d(x, w, bias, *how[:3], True))
    return dense.conv2d_relu_max_pool2d(x, w, bias, how)


@planned
def conv2d_relu_max_pool2d_grad(
    g: np.ndarray,
    code: np.ndarray,
    x: np.ndarray,
    w: np.ndarray,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
    needs: Needs = (True, True, True),
) -> Grads:
    """See `minidl.kernels.conv.reference.conv2d_relu_max_pool2d_grad`."""
    how = stride, padding, dilation, groups
    if not _covered(g, x, w):
        return unplanned(reference.conv2d_relu_max_pool2d_grad, g, code, x, w, *how, needs)
    if wide.suits(w.shape, groups) or not sparse.suits(w.shape, how):
        size = output_size(x.shape[2:], w.shape[2:], stride, padding, dilation)
        return _grads(pooled.spread(g, code, size), x, w, x.shape, w.shape, how, needs)
    results = _room(g.dtype, x.shape, w.shape, needs)
    sparse.fill(sparse.ALWAYS, g, code, x, w, results, x.shape, w.shape, how)
    return results


def _covered(*arrays: np.ndarray) -> bool:
    return all(array.dtype in FLOATS and array.size for array in arrays)


def _grads(
    g: np.ndarray,
    x: np.ndarray | None,
    w: np.ndarray | None,
    input_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    how: How,
    needs: Needs,
) -> Grads:
    """Those gradients that are needed; x may be None without dw, and w without dx."""
    if wide.suits(weight_shape, how[3]):
        return _wide_grads(g, x, w, input_shape, weight_shape, how, needs)
    if not sparse.suits(weight_shape, how):
        return _dense_grads(g, x, w, input_shape, weight_shape, how, needs)
    g = contiguous(g)
    found = sparse.decide(g)
    if is_planned() or not found[0]:  # a repetition, which finds another g, decides in its launches
        results = _dense_grads(g, x, w, input_shape, weight_shape, how, needs, found)
    else:
        results = _room(g.dtype, input_shape, weight_shape, needs)
    if is_planned() or found[0]:
        sparse.fill(found, g, None, x, w, results, input_shape, weight_shape, how)
    return results


def _room(
    dtype: np.dtype, input_shape: tuple[int, ...], weight_shape: tuple[int, ...], needs: Needs
) -> Grads:
    """Memory for those gradients that are needed."""
    shapes = input_shape, weight_shape, weight_shape[:1]
    return tuple(empty(s, dtype) if n else None for s, n in zip(shapes, needs))


def _wide_grads(
    g: np.ndarray,
    x: np.ndarray | None,
    w: np.ndarray | None,
    input_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    how: How,
    needs: Needs,
) -> Grads:
    """As `_grads`, for many channels."""
    return (
        wide.conv2d_input_grad(g, w, input_shape, *how[:3]) if needs[0] else None,
        wide.conv2d_weight_grad(g, x, weight_shape, *how[:3]) if needs[1] else None,
        dense.bias_grad(g) if needs[2] else None,
    )


def _dense_grads(
    g: np.ndarray,
    x: np.ndarray | None,
    w: np.ndarray | None,
    input_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    how: How,
    needs: Needs,
    skip: np.ndarray = dense.NEVER,
) -> Grads:
    """As `_grads`, of uninitialised memory if ``skip[0]``."""
    return (
        dense.conv2d_input_grad(g, w, input_shape, how, skip) if needs[0] else None,
        dense.conv2d_weight_grad(g, x, weight_shape, how, skip) if needs[1] else None,
        dense.bias_grad(g, skip) if needs[2] else None,
    )

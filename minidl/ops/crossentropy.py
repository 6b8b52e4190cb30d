"""Cross-entropy: the negative logarithm of the probability given to the right class.

Inputs are (N, C), (C,) for a single sample, or (N, C, d1, ...) with a label for each
position: labels have the shape of the input without its dimension of classes.
"""

from __future__ import annotations

from typing import Any

from minidl import kernels
from minidl.autograd import Spec, change, describe, fused
from minidl.backend import device_of, int64
from minidl.kernels.launch import planned
from minidl.ops.comparison import where
from minidl.ops.elementwise import to
from minidl.ops.index import gather
from minidl.ops.loss import check_reduction, reduced
from minidl.ops.reduce import sum
from minidl.ops.shape import reshape, squeeze, unsqueeze
from minidl.ops.softmax import log_softmax

# --------------------------------------------------------------------------- checks


def _class_dim(input: Any) -> int:
    return 0 if input.ndim == 1 else 1


def _check_input(name: str, input: Any, target: Any, weight: Any) -> None:
    if input.ndim == 0 or input.dtype.kind != "f":
        raise TypeError(
            f"{name}({describe([input, target])}): input must be floating point, "
            "(C,), (N, C) or (N, C, d1, ...)"
        )
    classes = input.shape[_class_dim(input)]
    if weight is not None and tuple(weight.shape) != (classes,):
        raise ValueError(
            f"{name}({describe([input, target])}): weight must have shape {[classes]}, "
            f"got {list(weight.shape)}"
        )


def _checked_labels(name: str, input: Any, target: Any) -> Any:
    """The labels as int64, their shape and dtype checked."""
    dim = _class_dim(input)
    shape = input.shape[:dim] + input.shape[dim + 1 :]
    if target.dtype.kind not in "iu":
        raise TypeError(
            f"{name}({describe([input, target])}): labels must be integers, got {target.dtype}"
        )
    if target.shape != shape:
        raise ValueError(
            f"{name}({describe([input, target])}): the labels must have shape {list(shape)}"
        )
    return target if target.dtype is int64 else target.to(int64)


def _check_range(name: str, input: Any, target: Any, ignore_index: int) -> None:
    """IndexError if a label is neither a class nor the one to ignore."""
    classes = input.shape[_class_dim(input)]
    call = name, Spec(input.array), Spec(target.array)
    change("check labels", _check_labels, target.array, classes, ignore_index, call)


def _check_labels(labels: Any, classes: int, ignore_index: int, call: tuple) -> None:
    wrong = kernels.first_wrong_label(labels, classes, ignore_index)
    if wrong >= 0:
        name, *args = call
        raise IndexError(
            f"{name}({describe(args)}): label {labels.reshape(-1)[wrong]} is outside "
            f"0..{classes - 1}, the range for {classes} classes"
        )


# --------------------------------------------------------------------------- compositions


def _negative_log_likelihood(
    log_p: Any, target: Any, weight: Any, ignore_index: int, smoothing: float, reduction: str
) -> Any:
    """The smoothed, weighted loss of log-probabilities, made of other operators."""
    dim = _class_dim(log_p)
    kept = target != ignore_index
    chosen = where(kept, target, 0)
    loss = -squeeze(gather(log_p, dim, unsqueeze(chosen, dim)), dim)
    factor = to(kept, log_p.dtype)
    if weight is not None:
        weights = reshape(gather(weight, 0, reshape(chosen, (-1,))), chosen.shape)
        loss, factor = loss * weights, factor * weights
        log_p = log_p * reshape(weight, (-1,) + (1,) * (log_p.ndim - dim - 1))
    if smoothing:
        spread = sum(log_p, dim) * (smoothing / log_p.shape[dim])
        loss = loss * (1 - smoothing) - spread
    loss = where(kept, loss, 0.0)
    return sum(loss) / sum(factor) if reduction == "mean" else reduced(loss, reduction)


def _cross_entropy_composed(
    input: Any, target: Any, weight: Any, ignore_index: int, smoothing: float, reduction: str
) -> Any:
    log_p = log_softmax(input, 1)
    return _negative_log_likelihood(log_p, target, weight, ignore_index, smoothing, reduction)


def _with_probabilities(
    input: Any, target: Any, weight: Any, smoothing: float, reduction: str
) -> Any:
    """-sum_c w[c] q[c] log p[c] for given class probabilities q."""
    dim = _class_dim(input)
    classes = input.shape[dim]
    if smoothing:
        target = target * (1 - smoothing) + smoothing / classes
    log_p = log_softmax(input, dim)
    if weight is not None:
        log_p = log_p * reshape(weight, (-1,) + (1,) * (input.ndim - dim - 1))
    return reduced(-sum(target * log_p, dim), reduction)


# --------------------------------------------------------------------------- the fused operator


@fused(reference=_cross_entropy_composed)
@planned
def _cross_entropy(input, target, weight, ignore_index, smoothing, reduction):
    """Softmax and loss of (N, C) logits and (N,) labels in one pass."""
    loss, logsumexp = kernels.cross_entropy(input, target, weight, smoothing, ignore_index)
    share = None
    if reduction == "mean":
        loss, share = kernels.weighted_mean(loss, target, weight, ignore_index)
    elif reduction == "sum":
        loss = kernels.reduce_sum(loss, (0,), False, loss.dtype)
    return loss, (logsumexp, share)


@_cross_entropy.backward("input")
@planned
def _(g, residuals, input, target, weight, ignore_index, smoothing, _reduction):
    logsumexp, share = residuals
    g_input = kernels.cross_entropy_grad(
        g, input, target, weight, smoothing, ignore_index, logsumexp, share
    )
    return (g_input,)


# --------------------------------------------------------------------------- public


def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """-log(softmax(input)[target]): the loss of logits against labels or probabilities.

    Parameters
    ----------
    input : Tensor
        Logits, (N, C), (C,) or (N, C, d1, ...).
    target : Tensor
        Integer labels, (N,), () or (N, d1, ...); or class probabilities, in the shape of
        ``input`` and floating point.
    weight : Tensor, optional
        A factor for each class, (C,).
    ignore_index : int
        Samples with this label count for nothing. Not for probabilities.
    reduction : str
        ``"mean"`` divides by the sum of the samples' weights (of probabilities: their number).
    label_smoothing : float
        In [0, 1]: the part of the target that is spread evenly over all classes.

    Raises
    ------
    TypeError
        For labels that are not integers.
    ValueError
        For shapes that do not fit together, or an option out of its range.
    IndexError
        For a label that is not a class. On a GPU, which nobody waits for, the loss is NaN instead.
    """
    _check_input("cross_entropy", input, target, weight)
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"cross_entropy: label_smoothing must be in [0, 1], got {label_smoothing}")
    check_reduction(reduction)
    if target.shape == input.shape and target.dtype.kind == "f":
        return _with_probabilities(input, target, weight, label_smoothing, reduction)
    labels = _checked_labels("cross_entropy", input, target)
    if device_of(labels.array).type != "cuda":
        _check_range("cross_entropy", input, labels, ignore_index)
    if input.ndim == 2:
        return _cross_entropy(input, labels, weight, ignore_index, label_smoothing, reduction)
    rows, flat = _as_rows(input), reshape(labels, (-1,))
    loss = _cross_entropy(rows, flat, weight, ignore_index, label_smoothing, reduction)
    return reshape(loss, labels.shape) if reduction == "none" else loss


def nll_loss(
    input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean"
) -> Any:
    """-input[target]: `cross_entropy` of log-probabilities, for labels only."""
    _check_input("nll_loss", input, target, weight)
    labels = _checked_labels("nll_loss", input, target)
    _check_range("nll_loss", input, labels, ignore_index)
    check_reduction(reduction)
    return _negative_log_likelihood(input, labels, weight, ignore_index, 0.0, reduction)


def _as_rows(input: Any) -> Any:
    """(C,) or (N, C, d1, ...) as (rows, C)."""
    if input.ndim == 1:
        return unsqueeze(input, 0)
    last = input.permute(0, *range(2, input.ndim), 1)
    return reshape(last, (-1, input.shape[1]))

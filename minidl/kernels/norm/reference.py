"""Normalisation in NumPy, the definition.

For the M values x that are normalised together, those of a channel c of an array
(N, C, ...) or those of a group of channels of one sample::

    mean = sum(x) / M
    var  = sum((x - mean)^2) / M
    rstd = 1 / sqrt(var + eps)
    y    = (x - mean) rstd weight[c] + bias[c]

and its gradient, with z = (x - mean) rstd and h = g weight[c]::

    g_x = rstd (h - sum(h) / M - z sum(h z) / M)

Layer normalisation is that of one group in an array (rows, elements). The statistics of
float16 are kept in float32.

Sources: S. Ioffe, C. Szegedy, "Batch normalization", 2015, https://arxiv.org/abs/1502.03167;
J. Ba et al., "Layer normalization", 2016, https://arxiv.org/abs/1607.06450;
Y. Wu, K. He, "Group normalization", 2018, https://arxiv.org/abs/1803.08494
"""

from __future__ import annotations

import math

import numpy as np

Arrays = tuple[np.ndarray, ...]


def _others(x: np.ndarray) -> tuple[int, ...]:
    """The axes that are summed over: all but the channels'."""
    return (0, *range(2, x.ndim))


def _along_channels(values: np.ndarray, x: np.ndarray) -> np.ndarray:
    """One value per channel, in a shape that broadcasts against ``x``."""
    return values.reshape((1, -1) + (1,) * (x.ndim - 2))


def _affine(y: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None) -> np.ndarray:
    if weight is not None:
        y = y * _along_channels(weight, y)
    return y if bias is None else y + _along_channels(bias, y)


def wide(dtype: np.dtype) -> np.dtype:
    """The dtype of statistics: float16 is too short for sums."""
    return np.promote_types(dtype, np.float32)


def _moments(x: np.ndarray, axes: tuple[int, ...], eps: float) -> Arrays:
    """x - mean, mean, var and rstd over ``axes``, which are kept; of no values, mean 0, var 0."""
    count = max(math.prod(x.shape[axis] for axis in axes), 1)
    mean = x.sum(axis=axes, dtype=np.float64, keepdims=True) / count
    centred = x - mean
    var = (centred * centred).sum(axis=axes, keepdims=True) / count
    return centred, mean, var, 1 / np.sqrt(var + eps)


# --------------------------------------------------------------------------- by channel


@np.errstate(all="ignore")
def normalize(
    x: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None, eps: float
) -> Arrays:
    """The result, and by channel the mean, the biased variance and 1 / sqrt(var + eps)."""
    centred, *moments = _moments(x, _others(x), eps)
    y = _affine(centred * moments[-1], weight, bias)
    return y.astype(x.dtype, copy=False), *(m.reshape(-1).astype(wide(x.dtype)) for m in moments)


@np.errstate(all="ignore")
def normalize_grad(
    g: np.ndarray, x: np.ndarray, mean: np.ndarray, rstd: np.ndarray, weight: np.ndarray | None
) -> Arrays:
    """The gradients of ``x``, ``weight`` and ``bias``."""
    others = _others(x)
    count = max(math.prod(x.shape[axis] for axis in others), 1)
    z = (x.astype(wide(x.dtype)) - _along_channels(mean, x)) * _along_channels(rstd, x)
    g_weight = (g * z).sum(axis=others, dtype=np.float64)
    g_bias = g.sum(axis=others, dtype=np.float64)
    g_x = g - _along_channels(g_bias / count, x) - z * _along_channels(g_weight / count, x)
    g_x *= _along_channels(rstd if weight is None else rstd * weight, x)
    return tuple(a.astype(x.dtype, copy=False) for a in (g_x, g_weight, g_bias))


@np.errstate(all="ignore")
def move_running(
    mean: np.ndarray,
    var: np.ndarray,
    running_mean: np.ndarray | None,
    running_var: np.ndarray | None,
    momentum: float,
    count: int,
) -> None:
    """``running = (1 - momentum) running + momentum batch``, in place.

    The running variance takes the unbiased one of the ``count`` values that had ``var``.
    """
    if running_mean is not None:
        running_mean[...] = (1 - momentum) * running_mean + momentum * mean
    if running_var is not None:
        unbiased = var * (count / (count - 1))
        running_var[...] = (1 - momentum) * running_var + momentum * unbiased


@np.errstate(all="ignore")
def scale_shift(x: np.ndarray, scale: np.ndarray, shift: np.ndarray | None) -> np.ndarray:
    """``x * scale[c] + shift[c]`` for each channel c."""
    return _affine(x, scale, shift).astype(x.dtype, copy=False)


@np.errstate(all="ignore")
def channel_dot(g: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The sum of ``g * x`` over each channel: the gradient of `scale_shift`'s scale."""
    product = g.astype(wide(g.dtype), copy=False) * x
    return product.sum(axis=_others(x)).astype(x.dtype, copy=False)


# --------------------------------------------------------------------------- by group


def _rows(x: np.ndarray, groups: int) -> np.ndarray:
    """``x`` as (N, groups, values), in the dtype of statistics."""
    rows = x.reshape(len(x), groups, math.prod(x.shape[1:]) // groups)
    return rows.astype(wide(x.dtype), copy=False)


@np.errstate(all="ignore")
def group_normalize(
    x: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None, groups: int, eps: float
) -> Arrays:
    """The result, and by sample and group the mean and 1 / sqrt(var + eps)."""
    centred, mean, _, rstd = _moments(_rows(x, groups), (2,), eps)
    y = _affine((centred * rstd).reshape(x.shape), weight, bias)
    return y.astype(x.dtype, copy=False), *(m[:, :, 0].astype(wide(x.dtype)) for m in (mean, rstd))


@np.errstate(all="ignore")
def group_normalize_grad(
    g: np.ndarray,
    x: np.ndarray,
    mean: np.ndarray,
    rstd: np.ndarray,
    weight: np.ndarray | None,
    groups: int,
) -> Arrays:
    """The gradients of ``x``, ``weight`` and ``bias``."""
    others, mean, rstd = _others(x), mean[:, :, None], rstd[:, :, None]
    z = (_rows(x, groups) - mean) * rstd
    h = _rows(_affine(g.astype(z.dtype, copy=False), weight, None), groups)
    count = max(z.shape[2], 1)
    of_h = h.sum(axis=2, dtype=np.float64, keepdims=True) / count
    of_product = (h * z).sum(axis=2, dtype=np.float64, keepdims=True) / count
    g_x = (rstd * (h - of_h - z * of_product)).reshape(x.shape)
    g_weight = (g * z.reshape(x.shape)).sum(axis=others, dtype=np.float64)
    g_bias = g.sum(axis=others, dtype=np.float64)
    return tuple(a.astype(x.dtype, copy=False) for a in (g_x, g_weight, g_bias))

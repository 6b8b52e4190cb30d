"""Normalisation by channel in NumPy, the definition.

For a channel c of an array (N, C, ...), with M values x in that channel::

    mean = sum(x) / M
    var  = sum((x - mean)^2) / M
    y    = (x - mean) / sqrt(var + eps) * weight[c] + bias[c]

Source: S. Ioffe, C. Szegedy, "Batch normalization", 2015, https://arxiv.org/abs/1502.03167
"""

import numpy as np


def _others(x: np.ndarray) -> tuple[int, ...]:
    """The axes that are summed over: all but the channels'."""
    return (0, *range(2, x.ndim))


def _along_channels(values: np.ndarray, x: np.ndarray) -> np.ndarray:
    """One value per channel, in a shape that broadcasts against ``x``."""
    return values.reshape((1, -1) + (1,) * (x.ndim - 2))


def _count(x: np.ndarray) -> int:
    """How many values a channel has; 1 if it has none, whose sums are 0 then and not NaN."""
    return max(x.size // max(x.shape[1], 1), 1)


@np.errstate(all="ignore")
def normalize(
    x: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None, eps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The result, and by channel the mean, the biased variance and 1 / sqrt(var + eps)."""
    others, count = _others(x), _count(x)
    mean = x.sum(axis=others, dtype=np.float64) / count
    centred = x - _along_channels(mean, x)
    var = (centred * centred).sum(axis=others) / count
    rstd = 1 / np.sqrt(var + eps)
    y = centred * _along_channels(rstd if weight is None else rstd * weight, x)
    if bias is not None:
        y += _along_channels(bias, x)
    return tuple(a.astype(x.dtype, copy=False) for a in (y, mean, var, rstd))


@np.errstate(all="ignore")
def normalize_grad(
    g: np.ndarray, x: np.ndarray, mean: np.ndarray, rstd: np.ndarray, weight: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The gradients of ``x``, ``weight`` and ``bias``.

    With z = (x - mean) rstd, g_weight = sum(g z) and g_bias = sum(g)::

        g_x = weight rstd (g - g_bias / M - z g_weight / M)
    """
    others, count = _others(x), _count(x)
    wide = np.promote_types(x.dtype, np.float32)
    z = (x.astype(wide) - _along_channels(mean, x)) * _along_channels(rstd, x)
    g_weight = (g * z).sum(axis=others, dtype=np.float64)
    g_bias = g.sum(axis=others, dtype=np.float64)
    g_x = g - _along_channels(g_bias / count, x) - z * _along_channels(g_weight / count, x)
    g_x *= _along_channels(rstd if weight is None else rstd * weight, x)
    return tuple(a.astype(x.dtype, copy=False) for a in (g_x, g_weight, g_bias))


@np.errstate(all="ignore")
def scale_shift(x: np.ndarray, scale: np.ndarray, shift: np.ndarray | None) -> np.ndarray:
    """``x * scale[c] + shift[c]`` for each channel c."""
    y = x * _along_channels(scale, x)
    if shift is not None:
        y = y + _along_channels(shift, x)
    return y.astype(x.dtype, copy=False)

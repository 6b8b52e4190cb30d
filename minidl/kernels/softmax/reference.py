"""Softmax and its cross-entropy in NumPy, the definitions.

For a row x of C logits with label t, class weights w and label smoothing e::

    log p = x - logsumexp(x)
    loss  = -(1 - e) w[t] log p[t] - e / C sum_c w[c] log p[c]

and 0 where t is the label to ignore. The weights may be None, for ones. The labels must be
checked before: each lies in 0 .. C - 1 or is the one to ignore.
"""

from __future__ import annotations

import numpy as np

from minidl.backend import xp

quiet = np.errstate(all="ignore")


def _wide(x: np.ndarray) -> np.ndarray:
    return x.astype(np.promote_types(x.dtype, np.float32), copy=False)


# --------------------------------------------------------------------------- softmax


def _below_top(x: np.ndarray, axis: int) -> np.ndarray:
    """``x`` minus its largest element along ``axis``, so that no exponential overflows."""
    wide = _wide(x)
    return wide - _top(wide, axis)


def _top(x: np.ndarray, axis: int) -> np.ndarray:
    """The largest element along ``axis``, or 0 where there are none."""
    largest = x.max if x.size else x.sum
    return largest(axis=axis, keepdims=True)


@quiet
def softmax(x: np.ndarray, axis: int) -> np.ndarray:
    """exp(x) / sum(exp(x)) along ``axis``."""
    e = xp(x).exp(_below_top(x, axis))
    return (e / e.sum(axis=axis, keepdims=True)).astype(x.dtype, copy=False)


@quiet
def log_softmax(x: np.ndarray, axis: int) -> np.ndarray:
    """log(softmax(x)) along ``axis``."""
    shifted = _below_top(x, axis)
    log_total = xp(x).log(xp(x).exp(shifted).sum(axis=axis, keepdims=True))
    return (shifted - log_total).astype(x.dtype, copy=False)


@quiet
def softmax_grad(g: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
    """The gradient of x, given that of y = softmax(x)."""
    wide, y = _wide(g), _wide(y)
    dx = (wide - (wide * y).sum(axis=axis, keepdims=True)) * y
    return dx.astype(g.dtype, copy=False)


@quiet
def log_softmax_grad(g: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
    """The gradient of x, given that of y = log_softmax(x)."""
    wide = _wide(g)
    dx = wide - xp(y).exp(_wide(y)) * wide.sum(axis=axis, keepdims=True)
    return dx.astype(g.dtype, copy=False)


# --------------------------------------------------------------------------- cross-entropy


def class_weights(x: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
    """The weights, ones for None."""
    return xp(x).ones(x.shape[1], x.dtype) if weight is None else weight


@quiet
def cross_entropy(
    x: np.ndarray, labels: np.ndarray, weight: np.ndarray | None, smoothing: float, ignored: int
) -> tuple[np.ndarray, np.ndarray]:
    """The loss and the logsumexp of each row of ``x`` (N, C)."""
    wide, kept, weight = _wide(x), labels != ignored, _wide(class_weights(x, weight))
    top = _top(wide, 1)
    logsumexp = xp(x).log(xp(x).exp(wide - top).sum(axis=1)) + top[:, 0]
    log_p = wide - logsumexp[:, None]
    chosen = xp(x).where(kept, labels, 0)
    picked = xp(x).take_along_axis(log_p, chosen[:, None], 1)[:, 0]
    loss = -(1 - smoothing) * weight[chosen] * picked
    if smoothing:
        loss -= smoothing / x.shape[1] * (log_p * weight).sum(axis=1)
    return xp(x).where(kept, loss, 0).astype(x.dtype), logsumexp.astype(x.dtype)


def of_rows(g: np.ndarray, share: np.ndarray | None, rows: int) -> np.ndarray:
    """The gradient of each row's loss, given that of their weighted mean, or of all alike."""
    return xp(g).broadcast_to(g if share is None else g * share, (rows,))


@quiet
def cross_entropy_grad(
    g: np.ndarray,
    x: np.ndarray,
    labels: np.ndarray,
    weight: np.ndarray | None,
    smoothing: float,
    ignored: int,
    logsumexp: np.ndarray,
    share: np.ndarray | None = None,
) -> np.ndarray:
    """The gradient of ``x``, given that of each row's loss.

    That is ``g``, (N,) or one number for all rows, times the ``share`` that each row has in
    their mean (None for 1). With s = (1 - e) w[t] + e / C sum(w)::

        g_x[c] = g (s p[c] - e / C w[c] - (1 - e) w[t] [c == t])
    """
    g = of_rows(g, share, len(x))
    wide, kept, weight = _wide(x), labels != ignored, _wide(class_weights(x, weight))
    rows, chosen = xp(x).arange(len(x)), xp(x).where(kept, labels, 0)
    spread, hit = smoothing / x.shape[1], (1 - smoothing) * weight[chosen]
    g_x = xp(x).exp(wide - logsumexp[:, None]) * (hit + spread * weight.sum())[:, None]
    g_x -= spread * weight
    g_x[rows, chosen] -= hit
    return xp(x).where(kept[:, None], g_x * g[:, None], 0).astype(x.dtype)


@quiet
def weighted_mean(
    loss: np.ndarray, labels: np.ndarray, weight: np.ndarray | None, ignored: int
) -> tuple[np.ndarray, np.ndarray]:
    """The sum of the rows' losses over that of their labels' weights, and 1 over the latter."""
    kept, wide = labels != ignored, np.promote_types(loss.dtype, np.float32)
    if weight is None:
        total = kept.sum(dtype=wide)
    else:
        chosen = xp(weight).where(kept, labels, 0)
        total = xp(weight).where(kept, weight[chosen], 0).sum(dtype=wide)
    mean = loss.sum(dtype=wide) / total
    return mean.astype(loss.dtype), (1 / total).astype(loss.dtype)


def first_wrong_label(labels: np.ndarray, classes: int, ignored: int) -> int:
    """Where the first label is that is no class and not the one to ignore; -1 if there is none."""
    wrong = (((labels < 0) | (labels >= classes)) & (labels != ignored)).reshape(-1)
    return int(wrong.argmax()) if wrong.any() else -1

"""Cross-entropy of softmax in NumPy, the definition.

For a row x of C logits with label t, class weights w and label smoothing e::

    log p = x - logsumexp(x)
    loss  = -(1 - e) w[t] log p[t] - e / C sum_c w[c] log p[c]

and 0 where t is the label to ignore. The labels must be checked before: each lies in
0 .. C - 1 or is the one to ignore.
"""

import numpy as np


def _wide(x: np.ndarray) -> np.ndarray:
    return x.astype(np.promote_types(x.dtype, np.float32), copy=False)


@np.errstate(all="ignore")
def cross_entropy(
    x: np.ndarray, labels: np.ndarray, weight: np.ndarray, smoothing: float, ignored: int
) -> tuple[np.ndarray, np.ndarray]:
    """The loss and the logsumexp of each row of ``x`` (N, C)."""
    wide, kept = _wide(x), labels != ignored
    top = wide.max(axis=1, keepdims=True, initial=-np.inf)
    logsumexp = np.log(np.exp(wide - top).sum(axis=1)) + top[:, 0]
    log_p = wide - logsumexp[:, None]
    chosen = np.where(kept, labels, 0)
    picked = np.take_along_axis(log_p, chosen[:, None], 1)[:, 0]
    loss = -(1 - smoothing) * weight[chosen] * picked
    if smoothing:
        loss -= smoothing / x.shape[1] * (log_p * weight).sum(axis=1)
    return np.where(kept, loss, 0).astype(x.dtype), logsumexp.astype(x.dtype)


@np.errstate(all="ignore")
def cross_entropy_grad(
    g: np.ndarray,
    x: np.ndarray,
    labels: np.ndarray,
    weight: np.ndarray,
    smoothing: float,
    ignored: int,
    logsumexp: np.ndarray,
) -> np.ndarray:
    """The gradient of ``x``, given that of each row's loss.

    With s = (1 - e) w[t] + e / C sum(w)::

        g_x[c] = g (s p[c] - e / C w[c] - (1 - e) w[t] [c == t])
    """
    wide, kept = _wide(x), labels != ignored
    rows, chosen = np.arange(len(x)), np.where(kept, labels, 0)
    spread, hit = smoothing / x.shape[1], (1 - smoothing) * weight[chosen]
    g_x = np.exp(wide - logsumexp[:, None]) * (hit + spread * weight.sum())[:, None]
    g_x -= spread * weight
    g_x[rows, chosen] -= hit
    return np.where(kept[:, None], g_x * g[:, None], 0).astype(x.dtype)

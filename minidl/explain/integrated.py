"""Integrated gradients: the score's rise from a baseline, shared out among the pixels."""

from __future__ import annotations

import numpy as np

from minidl import ops
from minidl.autograd import no_grad
from minidl.explain.checks import batch_of, count_of
from minidl.explain.gradient import input_gradient
from minidl.explain.scores import Target, classes_of, explaining, logits_of
from minidl.nn import Module
from minidl.tensor import Tensor


def integrated_gradients(
    model: Module,
    input: Tensor,
    target: Target = None,
    baseline: Tensor | None = None,
    steps: int = 64,
) -> Tensor:
    """What each number of the input adds to the score: the gradient's mean on the way there.

    ``(x - b) * integral over a from 0 to 1 of d logit_target / d x at b + a (x - b)``, by Gauss
    and Legendre's rule. The attributions of a picture add up to its score less the baseline's,
    as far as the rule is exact: it is for networks that are smooth, while each kink (of ReLU,
    max pooling) costs an error of the order of ``1 / steps``.

    Parameters
    ----------
    model, input, target
        As of `saliency`; the model's own choice is that for the input.
    baseline : Tensor, optional
        A picture that shows nothing, of the input's shape or one that broadcasts to it. By
        default it is 0, which is the mean colour for models that want normalised pictures.
    steps : int
        The number of gradients.

    Returns
    -------
    Tensor (N, C, H, W)
        With a sign: what is negative speaks against the class. ``.sum(1)`` is a map.

    Raises
    ------
    ValueError
        If shapes do not fit, there is no such class, or steps is not positive.

    Source: M. Sundararajan, A. Taly, Q. Yan, "Axiomatic Attribution for Deep Networks", 2017,
    https://arxiv.org/abs/1703.01365
    """
    input = batch_of(input)
    start = _baseline(baseline, input)
    way = input - start
    total = ops.zeros_like(input)
    with explaining(model):
        with no_grad():
            classes = classes_of(logits_of(model, input), target)
        for place, weight in _rule(count_of("steps", steps)):
            total += weight * input_gradient(model, start + place * way, classes)
    return way * total


def _baseline(baseline: Tensor | None, input: Tensor) -> Tensor:
    if baseline is None:
        return ops.zeros_like(input)
    if not isinstance(baseline, Tensor):
        raise TypeError(f"the baseline is a Tensor or None, got {type(baseline).__name__}")
    try:
        return baseline.detach().to(input).expand(input.shape)
    except ValueError:
        raise ValueError(
            f"the baseline is a picture like those of the input, {input.shape}, or one for all "
            f"of them; it has the shape {baseline.shape}"
        ) from None


def _rule(steps: int) -> list[tuple[float, float]]:
    """Places in (0, 1) with their weights, which add up to 1."""
    places, weights = np.polynomial.legendre.leggauss(steps)
    return list(zip(((places + 1) / 2).tolist(), (weights / 2).tolist()))

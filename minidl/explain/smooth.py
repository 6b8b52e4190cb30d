"""SmoothGrad: the gradient without its noise, by adding noise."""

from __future__ import annotations

import math

from minidl import ops
from minidl.autograd import no_grad
from minidl.explain.checks import batch_of, count_of
from minidl.explain.gradient import input_gradient, magnitude
from minidl.explain.scores import Target, classes_of, explaining, logits_of
from minidl.nn import Module
from minidl.random import Generator
from minidl.tensor import Tensor


def smooth_grad(
    model: Module,
    input: Tensor,
    target: Target = None,
    samples: int = 25,
    noise: float = 0.15,
    seed: int = 0,
) -> Tensor:
    """The saliency of the mean gradient around the input.

    ``max_c |1/n sum_i d logit_target / d input_c (input + s e_i)|`` with ``e_i`` of a standard
    normal distribution and ``s = noise (max(input) - min(input))``, picture by picture. The same
    ``e_i`` are added to every picture, so a picture's map does not depend on its neighbours.

    Parameters
    ----------
    model, input, target
        As of `saliency`; the model's own choice is that for the input without noise.
    samples : int
        The number n of gradients.
    noise : float
        As a share of each picture's range; 0 gives `saliency`.
    seed : int
        Of the noise, which comes from a generator of its own.

    Returns
    -------
    Tensor (N, H, W)

    Raises
    ------
    ValueError
        If shapes do not fit, there is no such class, or samples or noise make no sense.

    Source: D. Smilkov et al., "SmoothGrad: removing noise by adding noise", 2017,
    https://arxiv.org/abs/1706.03825
    """
    input = batch_of(input)
    samples = count_of("samples", samples)
    if not 0 <= noise < math.inf:
        raise ValueError(f"noise is a share of the input's range, from 0 up, got {noise!r}")
    spread = noise * (input.amax((1, 2, 3), keepdim=True) - input.amin((1, 2, 3), keepdim=True))
    generator = Generator(seed, input.device)
    total = ops.zeros_like(input)
    with explaining(model):
        with no_grad():
            classes = classes_of(logits_of(model, input), target)
        for _ in range(samples):
            drawn = ops.tensor(generator.normal(input.shape[1:], dtype=input.dtype))
            total += input_gradient(model, input + spread * drawn, classes)
        return magnitude(total / samples)

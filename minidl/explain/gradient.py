"""Saliency: how steeply the score climbs with each pixel."""

from __future__ import annotations

from minidl.autograd import grad
from minidl.explain.checks import batch_of
from minidl.explain.scores import Target, classes_of, explaining, logits_of, scores_of
from minidl.nn import Module
from minidl.tensor import Tensor


def saliency(model: Module, input: Tensor, target: Target = None) -> Tensor:
    """The gradient's magnitude: ``max_c |d logit_target / d input_c|``.

    Parameters
    ----------
    model : Module
        Takes (N, C, H, W), returns logits (N, classes).
    input : Tensor (N, C, H, W)
        Pictures as the model wants them.
    target : int, sequence of int or None
        The class in question, for all pictures or for each; None for the model's own choice.

    Returns
    -------
    Tensor (N, H, W)
        In units of the logit per unit of the input.

    Raises
    ------
    ValueError
        If shapes do not fit or there is no such class.

    Source: K. Simonyan, A. Vedaldi, A. Zisserman, "Deep Inside Convolutional Networks", 2014,
    https://arxiv.org/abs/1312.6034
    """
    input = batch_of(input)
    with explaining(model):
        return magnitude(input_gradient(model, input, target))


def input_gradient(model: Module, input: Tensor, target: Target) -> Tensor:
    """``d logit_target / d input``, (N, C, H, W), each picture's of its own logit.

    One backward pass has them all: in evaluation mode no picture's logits depend on another.
    """
    pixels = input.detach().requires_grad_()
    logits = logits_of(model, pixels)
    score = scores_of(logits, classes_of(logits, target)).sum()
    (gradient,) = grad(score, pixels)
    return gradient


def magnitude(gradient: Tensor) -> Tensor:
    """The largest magnitude among the channels: (N, C, H, W) to (N, H, W)."""
    return gradient.abs().amax(1)

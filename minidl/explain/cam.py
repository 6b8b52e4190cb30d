"""Grad-CAM and Grad-CAM++: where the last layer that still knows places saw the class."""

from __future__ import annotations

from collections.abc import Callable

from minidl import ops
from minidl.autograd import grad, no_grad
from minidl.explain.checks import batch_of
from minidl.explain.layers import logits_and_maps
from minidl.explain.resize import resized
from minidl.explain.scores import Target, classes_of, explaining, scores_of
from minidl.nn import Module
from minidl.tensor import Tensor


def grad_cam(
    model: Module, input: Tensor, layer: Module | str | None = None, target: Target = None
) -> Tensor:
    """A layer's maps A_k, added up by how much the score gains by each.

    ``relu(sum_k w_k A_k)`` with ``w_k = mean over i, j of d logit_target / d A_kij``, enlarged to
    the input's size and divided by its largest value.

    Parameters
    ----------
    model, input, target
        As of `saliency`.
    layer : Module, str or None
        The layer, or its name: a submodule's path, or the name of a step's result in an
        `OnnxModule`. By default the last one that returns maps of at least 4 pixels a side, or if
        there is none, of more than one.

    Returns
    -------
    Tensor (N, H, W)
        From 0 to 1; 0 everywhere if nothing speaks for the class.

    Raises
    ------
    ValueError
        If shapes do not fit, there is no such class, or no such layer with maps: the message
        names those that there are.

    Source: R. Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via
    Gradient-based Localization", 2017, https://arxiv.org/abs/1610.02391
    """
    return _class_map(model, input, layer, target, _mean_gradient)


def grad_cam_plus_plus(
    model: Module, input: Tensor, layer: Module | str | None = None, target: Target = None
) -> Tensor:
    """Grad-CAM that does justice to several small places: pixels count by their own weights.

    ``relu(sum_k w_k A_k)`` with ``w_k = sum over i, j of alpha_kij relu(g_kij)``,
    ``alpha_kij = g_kij^2 / (2 g_kij^2 + g_kij^3 sum over a, b of A_kab)`` and
    ``g = d logit_target / d A``. That is the paper's closed form for the score
    ``exp(logit_target)``, whose first derivative's factor ``exp(logit_target)`` is the same
    everywhere and is divided out. It is meant for maps without negative values: those after ReLU.

    Parameters, result and errors are those of `grad_cam`.

    Source: A. Chattopadhyay et al., "Grad-CAM++: Improved Visual Explanations for Deep
    Convolutional Networks", 2018, https://arxiv.org/abs/1710.11063
    """
    return _class_map(model, input, layer, target, _weighted_gradient)


def _class_map(
    model: Module, input: Tensor, layer: Module | str | None, target: Target, weigh: Callable
) -> Tensor:
    input = batch_of(input)
    with explaining(model):
        logits, maps = logits_and_maps(model, input.requires_grad_(), layer)
        score = scores_of(logits, classes_of(logits, target)).sum()
        (gradient,) = grad(score, maps, allow_unused=True)
    if gradient is None:
        raise ValueError("the logits do not depend on that layer's maps: choose another layer")
    with no_grad():
        found = (weigh(maps, gradient) * maps).sum(1).relu()
        found = resized(found, *input.shape[2:])
        peak = found.amax((1, 2), keepdim=True)
        return found / ops.where(peak > 0, peak, 1.0)


def _mean_gradient(_maps: Tensor, gradient: Tensor) -> Tensor:
    """Grad-CAM's weights, (N, K, 1, 1)."""
    return gradient.mean((2, 3), keepdim=True)


def _weighted_gradient(maps: Tensor, gradient: Tensor) -> Tensor:
    """Grad-CAM++'s weights, (N, K, 1, 1); alpha's fraction is reduced by g^2."""
    divisor = 2 + gradient * maps.sum((2, 3), keepdim=True)
    alpha = 1 / ops.where(divisor == 0, 1.0, divisor)
    return (alpha * gradient.relu()).sum((2, 3), keepdim=True)

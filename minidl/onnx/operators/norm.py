"""Normalisation with known statistics (batch norm), and within a sample."""

from __future__ import annotations

import numpy as np

from minidl import ops
from minidl.onnx.operators.operands import along_channels
from minidl.onnx.registry import reads, writes


@writes("scale_shift")
def _(graph, y, x, scale, shift):
    found = _statistics(graph, scale, shift)
    if found is None:
        ndim = len(graph.shape(x))
        product = [x, along_channels(graph, scale, ndim)]
        if shift is None:
            graph.add("Mul", product, y)
        else:
            shift = along_channels(graph, shift, ndim)
            graph.add("Add", [graph.add("Mul", product), shift], y)
        return
    weight, bias, mean, variance, eps = found
    plain = np.ones(graph.shape(mean), graph.dtype(mean))
    weight = plain if weight is None else weight
    bias = 0 * plain if bias is None else bias
    graph.add("BatchNormalization", [x, weight, bias, mean, variance], y, epsilon=eps)


def _statistics(graph, scale, shift):
    """What `ops.batch_norm` made scale and shift of; None if it did not."""
    weight = bias = None
    root, last = scale, shift
    if product := graph.made(scale, "mul"):
        root, weight = product.args
    rsqrt = graph.made(root, "rsqrt")
    sum_ = rsqrt and graph.made(rsqrt.args[0], "add")
    if total := graph.made(shift, "add"):
        last, bias = total.args
    product = graph.made(last, "mul")
    minus = product and product.args[1] is scale and graph.made(product.args[0], "neg")
    if not sum_ or not minus or not isinstance(sum_.args[1], float):
        return None
    return weight, bias, minus.args[0], sum_.args[0], sum_.args[1]


@reads("BatchNormalization")
def _(node):
    eps, momentum = node.attribute("epsilon", 1e-5), node.attribute("momentum", 0.9)
    if node.attribute("training_mode", 0):
        raise node.refused("it was exported in training mode")

    def batch_norm(x, weight, bias, mean, variance):
        training = node.module.training
        return ops.batch_norm(x, mean, variance, weight, bias, training, 1 - momentum, eps)

    return batch_norm


@writes("group_normalize")
def _(graph, results, x, weight, bias, groups, eps):
    y, *_ = results if isinstance(results, tuple) else (results,)
    shape = graph.shape(x)
    plain = np.ones(shape[1], graph.dtype(x))
    weight = plain if weight is None else weight
    bias = 0 * plain if bias is None else bias
    if len(shape) == 2 and groups == 1:
        graph.add("LayerNormalization", [x, weight, bias], y, epsilon=eps)
    else:
        graph.add("GroupNormalization", [x, weight, bias], y, epsilon=eps, num_groups=groups)


@reads("LayerNormalization")
def _(node):
    axis, eps = node.attribute("axis", -1), node.attribute("epsilon", 1e-5)
    node.attribute("stash_type", 1)

    def layer_norm(x, weight, bias=None):
        return ops.layer_norm(x, tuple(x.shape[axis:]), weight, bias, eps)

    return layer_norm


@reads("GroupNormalization")
def _(node):
    groups, eps = node.attribute("num_groups"), node.attribute("epsilon", 1e-5)
    node.attribute("stash_type", 1)
    return lambda x, weight, bias: ops.group_norm(x, groups, weight, bias, eps)

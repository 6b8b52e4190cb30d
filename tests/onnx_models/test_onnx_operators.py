"""Every operator that can be written, alone: onnxruntime computes the same, and so does what is
read back."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from exported import Calls, check, floats

import minidl
from minidl import ops
from minidl.nn import functional as F
from minidl.onnx.registry import writers
from minidl.ops.activation import _softplus
from minidl.ops.norm import _scale_shift

PICTURES = (2, 4, 6, 7)


@functools.cache
def _bytes(*shape):
    """An int8 tensor, one for each shape: a step may not make it anew."""
    numbers = np.random.default_rng(0).integers(-128, 128, shape)
    return minidl.tensor(numbers.astype(np.int8))


def _there_and_back(x, scale):
    zero_point = (0.0 * scale).to(minidl.int8)
    return ops.dequantize(ops.quantize(x, scale, zero_point, 1), scale, zero_point, 1)


# operator -> (name of the case, function, shapes of inputs, shapes of parameters)
CASES = {
    "add": [("", lambda x, w: x + w, [(2, 3)], [(3,)]), ("number", lambda x: x + 2, [(2, 3)], [])],
    "sub": [("", lambda x, w: 1.5 - x - w, [(2, 3)], [(3,)])],
    "mul": [("mask", lambda x: (x > 0) * x, [(2, 3)], [])],
    "div": [("", lambda x, w: x / (w * w + 1), [(2, 3)], [(3,)])],
    "pow": [("", lambda x: x**2 + (x * x + 1) ** 0.5, [(2, 3)], [])],
    "neg": [("", lambda x: -x, [(2, 3)], [])],
    "exp": [("", ops.exp, [(2, 3)], [])],
    "expm1": [("", ops.expm1, [(2, 3)], [])],
    "log": [("", lambda x: (x * x + 0.1).log(), [(2, 3)], [])],
    "log1p": [("", lambda x: (x * x).log1p(), [(2, 3)], [])],
    "sqrt": [("", lambda x: (x * x).sqrt(), [(2, 3)], [])],
    "rsqrt": [("", lambda x: (x * x + 0.1).rsqrt(), [(2, 3)], [])],
    "square": [("", ops.square, [(2, 3)], [])],
    "reciprocal": [("", lambda x: (x * x + 0.5).reciprocal(), [(2, 3)], [])],
    "sin": [("", ops.sin, [(2, 3)], [])],
    "cos": [("", ops.cos, [(2, 3)], [])],
    "tanh": [("", ops.tanh, [(2, 3)], [])],
    "erf": [("", ops.erf, [(2, 3)], [])],
    "abs": [("", ops.abs, [(2, 3)], [])],
    "sign": [("", ops.sign, [(2, 3)], [])],
    "floor": [("", ops.floor, [(2, 3)], [])],
    "ceil": [("", ops.ceil, [(2, 3)], [])],
    "round": [("", lambda x: ops.round(4 * x), [(2, 3)], [])],
    "to": [("", lambda x: (3 * x).to(minidl.int64).to(minidl.float32), [(2, 3)], [])],
    "clone": [("", ops.clone, [(2, 3)], [])],
    "eq": [("", lambda x: x.round() == 0, [(2, 3)], [])],
    "ne": [("", lambda x: x.round() != 0, [(2, 3)], [])],
    "lt": [("", lambda x, w: x < w, [(2, 3)], [(3,)])],
    "le": [("", lambda x: x.round() <= 0, [(2, 3)], [])],
    "gt": [("", lambda x, w: x > w, [(2, 3)], [(3,)])],
    "ge": [("", lambda x: x.round() >= 0, [(2, 3)], [])],
    "maximum": [("", ops.maximum, [(2, 3)], [(3,)])],
    "minimum": [("", ops.minimum, [(2, 3)], [(3,)])],
    "logical_and": [("", lambda x: ops.logical_and(x > 0, x < 1), [(2, 3)], [])],
    "logical_or": [("", lambda x: ops.logical_or(x < 0, x > 1), [(2, 3)], [])],
    "logical_not": [("", lambda x: ops.logical_not(x > 0), [(2, 3)], [])],
    "where": [("", lambda x, w: ops.where(x > 0, x, w), [(2, 3)], [(3,)])],
    "clamp": [
        ("both", lambda x: x.clamp(-0.5, 0.5), [(2, 3)], []),
        ("one", lambda x: x.clamp(max=0.2), [(2, 3)], []),
        ("tensors", lambda x, w: x.clamp(-abs(w), abs(w)), [(2, 3)], [(3,)]),
    ],
    "relu": [("", F.relu, [(2, 3)], [])],
    "sigmoid": [("", F.sigmoid, [(2, 3)], [])],
    "softplus": [("", lambda x: _softplus(x), [(2, 3)], [])],
    "activation": [
        ("leaky_relu", lambda x: F.leaky_relu(x, 0.2), [PICTURES], []),
        ("elu", lambda x: F.elu(x, 0.7), [PICTURES], []),
        ("silu", F.silu, [PICTURES], []),
        ("gelu", F.gelu, [PICTURES], []),
        ("gelu_tanh", lambda x: F.gelu(x, "tanh"), [PICTURES], []),
        ("softplus", lambda x: F.softplus(x, 2.0), [PICTURES], []),
        ("bias", lambda x, b: F.bias_activation(x, b, "tanh"), [PICTURES], [(4,)]),
        ("bias_sigmoid", lambda x, b: F.bias_activation(x, b, "sigmoid"), [PICTURES], [(4,)]),
    ],
    "quantize": [("", lambda x: ops.quantize(x, 0.1, 3), [(2, 3)], [])],
    "dequantize": [
        ("", lambda x: ops.dequantize(ops.quantize(x, 0.1, 3), 0.1, 3), [(2, 3)], []),
        ("axis", lambda x, s: _there_and_back(x, s * s + 0.1), [(2, 3)], [(3,)]),
    ],
    "there_and_back": [("", lambda x: ops.fake_quantize(x, 0.1, -5), [(2, 3)], [])],
    "with_values": [("", lambda x: ops.fake_quantize(x, 0.1, -5) + 1, [(2, 3)], [])],
    "quantized_conv2d": [
        (
            "",
            lambda x: ops.quantized_conv2d(x, 0.1, -5, _bytes(6, 2, 3, 2), 0.25, None, 2, 1, 1, 2),
            [PICTURES],
            [],
        ),
        (
            "channels",
            lambda x, s: ops.quantized_conv2d(x, 0.1, 3, _bytes(3, 4, 2, 2), s, s),
            [PICTURES],
            [(3,)],
        ),
    ],
    "quantized_linear": [
        ("", lambda x, s: ops.quantized_linear(x, 0.1, 3, _bytes(5, 3), s, s), [(2, 3)], [(5,)]),
        ("rows", lambda x: ops.quantized_linear(x, 0.1, 3, _bytes(5, 3), 0.5), [(2, 4, 3)], []),
    ],
    "softmax": [("", lambda x: F.softmax(x, 1), [(2, 3)], [])],
    "log_softmax": [("", lambda x: F.log_softmax(x, -1), [(2, 3, 4)], [])],
    "linear": [
        ("", F.linear, [(2, 3)], [(5, 3), (5,)]),
        ("no bias", F.linear, [(2, 3)], [(5, 3)]),
        ("rows", F.linear, [(2, 4, 3)], [(5, 3), (5,)]),
        ("rows, no bias", F.linear, [(2, 4, 3)], [(5, 3)]),
    ],
    "matmul": [("", lambda x, w: x @ w, [(2, 4, 3)], [(3, 5)])],
    "einsum": [("", lambda x, w: ops.einsum("bij,jk->bik", x, w), [(2, 4, 3)], [(3, 5)])],
    "conv2d": [
        ("", F.conv2d, [PICTURES], [(3, 4, 3, 3), (3,)]),
        ("1d", F.conv1d, [(2, 4, 9)], [(3, 4, 3), (3,)]),
        ("same", lambda x, w: F.conv2d(x, w, padding="same"), [PICTURES], [(3, 4, 2, 4)]),
        (
            "all",
            lambda x, w: F.conv2d(x, w, None, (2, 1), (1, 2), (1, 2), 2),
            [PICTURES],
            [(6, 2, 3, 2)],
        ),
    ],
    "rectified_conv2d": [("", F.conv2d_relu, [PICTURES], [(3, 4, 3, 3), (3,)])],
    "conv2d_input_grad": [
        ("", F.conv_transpose2d, [PICTURES], [(4, 3, 3, 3), (3,)]),
        (
            "all",
            lambda x, w: F.conv_transpose2d(x, w, None, (2, 3), 1, (1, 2), 2, (1, 2)),
            [PICTURES],
            [(4, 3, 3, 2)],
        ),
    ],
    "max_pool2d": [
        ("", lambda x: F.max_pool2d(x, 2), [PICTURES], []),
        ("all", lambda x: F.max_pool2d(x, (3, 2), (2, 1), (1, 0), (1, 2), True), [PICTURES], []),
        ("ceil", lambda x: F.max_pool2d(x, 3, 2, 1, ceil_mode=True), [(2, 4, 6, 6)], []),
    ],
    "avg_pool2d": [
        ("", lambda x: F.avg_pool2d(x, 2), [PICTURES], []),
        ("padded", lambda x: F.avg_pool2d(x, 3, 2, 1), [PICTURES], []),
        ("not counted", lambda x: F.avg_pool2d(x, 3, 2, 1, False, False), [PICTURES], []),
        ("ceil", lambda x: F.avg_pool2d(x, 3, 2, 1, True, True), [PICTURES], []),
        ("divisor", lambda x: F.avg_pool2d(x, 2, divisor_override=3), [PICTURES], []),
        ("global", lambda x: F.adaptive_avg_pool2d(x, 1), [PICTURES], []),
        ("uneven", lambda x: F.adaptive_avg_pool2d(x, (4, 3)), [PICTURES], []),
    ],
    "scale_shift": [
        ("", lambda x, m, w, b: F.batch_norm(x, m, m * m + 1, w, b), [PICTURES], [(4,)] * 3),
        ("plain", lambda x, m: F.batch_norm(x, m, m * m + 1), [PICTURES], [(4,)]),
        ("product", lambda x, w: _scale_shift(x, w, None), [PICTURES], [(4,)]),
        ("sum", lambda x, w, b: _scale_shift(x, w, b), [PICTURES], [(4,), (4,)]),
    ],
    "group_normalize": [
        ("layers", lambda x, w, b: F.layer_norm(x, 3, w, b), [(2, 5, 3)], [(3,), (3,)]),
        ("plain", lambda x: F.layer_norm(x, (5, 3)), [(2, 5, 3)], []),
        ("groups", lambda x, w, b: F.group_norm(x, 2, w, b, 1e-3), [PICTURES], [(4,), (4,)]),
    ],
    "sum": [
        ("", lambda x: x.sum((1, 3)), [PICTURES], []),
        ("all", lambda x: x.sum(), [(2, 3)], []),
    ],
    "mean": [("", lambda x: x.mean((2, 3), True), [PICTURES], [])],
    "amax": [("", lambda x: x.amax(1), [PICTURES], [])],
    "amin": [("", lambda x: x.amin((1, 2), True), [PICTURES], [])],
    "prod": [("", lambda x: x.prod(1), [(2, 3)], [])],
    "logsumexp": [("", lambda x: x.logsumexp(1), [(2, 3)], [])],
    "argmax": [("", lambda x: x.argmax(1), [(2, 3)], [])],
    "argmin": [("", lambda x: x.argmin(1, True), [(2, 3)], [])],
    "reshape": [
        ("flatten", lambda x: x.flatten(1), [PICTURES], []),
        ("merged", lambda x: x.reshape(-1, 7), [PICTURES], []),
        ("split", lambda x: x.reshape(x.shape[0], 2, 2, 42), [PICTURES], []),
    ],
    "view": [("", lambda x: x.view(x.shape[0], -1), [PICTURES], [])],
    "permute": [("", lambda x: x.permute(0, 2, 3, 1), [PICTURES], [])],
    "expand": [("", lambda x: x.unsqueeze(1).expand(-1, 5, -1), [(2, 3)], [])],
    "cat": [("", lambda x: ops.cat([x, x * 2], 1), [PICTURES], [])],
    "pad": [("", lambda x: F.pad(x, (1, 2, 0, 1), value=0.5), [PICTURES], [])],
    "narrow": [
        ("", lambda x: x.narrow(1, 1, 2), [PICTURES], []),
        ("from the end", lambda x: x.narrow(1, -2, 2), [PICTURES], []),
        ("pieces", lambda x: ops.cat(x.chunk(2, 1)[::-1], 1), [PICTURES], []),
    ],
    "getitem": [
        ("slices", lambda x: x[:, 1:-1, ::2], [PICTURES], []),
        ("integer", lambda x: x[:, -1, :, 0], [PICTURES], []),
        ("new", lambda x: x[:, None, ..., 1], [PICTURES], []),
        ("reflected", lambda x: F.pad(x, (2, 1), "reflect"), [PICTURES], []),
    ],
}


def test_every_operator_that_is_written_has_a_case():
    assert set(CASES) == set(writers)


@pytest.mark.parametrize(
    ("function", "inputs", "parameters"),
    [
        pytest.param(*how, id="-".join(filter(None, (name, case))))
        for name, cases in CASES.items()
        for case, *how in cases
    ],
)
def test_onnxruntime_and_what_is_read_back_agree(function, inputs, parameters):
    drawn = {f"p{i}": floats(*shape, seed=i) for i, shape in enumerate(parameters)}
    model = Calls(function, **drawn)
    given = [floats(*shape, seed=9) for shape in inputs]
    check(model, *given, more=[floats(5, *shape[1:], seed=8) for shape in inputs])

"""What a computation costs by the shapes of its arrays: operations, and bytes read and written.

A multiply-add is two operations. Convolutions and products of matrices count as in PyTorch's
`torch.utils.flop_counter`, without the bias; zeros that a kernel skips count as if it did not.
Beyond that an addition, a multiplication, a division and a function such as exp count one for
each element, as often as they stand in the formulas of the reference kernels; comparisons and
moves (ReLU, maximum pooling) count nothing. An operator that is not here has bytes only.

Every array is read or written once, unless it says otherwise here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from minidl.profiler.specs import specs

PER_RESULT = {
    *("add", "sub", "mul", "neg", "div", "pow", "square", "reciprocal", "abs", "sigmoid", "cumsum"),
    *("exp", "expm1", "log", "log1p", "sqrt", "rsqrt", "sin", "cos", "tanh", "erf"),
}
"""Operators with one operation for each number of the result."""

PER_INPUT = {
    "sum": 1,
    "mean": 1,
    "prod": 1,
    "max_pool2d_scatter": 1,
    "softmax": 3,  # exp(x - top), their sum, the quotient
    "softmax_grad": 4,  # y (g - sum(g y))
    "log_softmax": 4,  # x - (top + log(sum(exp(x - top))))
    "log_softmax_grad": 4,  # g - exp(y) sum(g)
    "logsumexp": 3,
    "normalize": 8,  # sum(x); sum((x - mean)^2); (x - mean) rstd weight + bias
    "normalize backward": 11,  # z; sum(g); sum(g z); rstd weight (g - mean(g) - z mean(g z))
    "group_normalize": 8,
    "group_normalize backward": 13,  # of each number also h = g weight, and the bias's gradient
    "scale_shift": 2,
    "channel_dot": 2,
    "cross_entropy": 3,
}
"""Operators with so many operations for each number of the first argument."""


def _convolution(given: tuple, made: Any) -> int:
    return 2 * made.size * math.prod(given[1].shape[1:])


def _input_gradient(given: tuple, _made: Any) -> int:
    return 2 * given[0].size * math.prod(given[1].shape[1:])


def _weight_gradient(given: tuple, _made: Any) -> int:
    return 2 * given[0].size * math.prod(given[2][1:])


def _convolution_gradients(given: tuple, made: Any) -> int:
    """As many as the convolution has, for the input's gradient and for the weight's."""
    weight = made[1] or given[3]
    wanted = given[-1]
    return 2 * given[0].size * math.prod(weight.shape[1:]) * sum(wanted[:2])


def _pooled_convolution(given: tuple, made: Any) -> int:
    """Of the four results behind each maximum."""
    return 4 * _convolution(given, made[0])


def _pooled_convolution_gradients(given: tuple, made: Any) -> int:
    return 4 * _convolution_gradients(given, made)


def _product(given: tuple, made: Any) -> int:
    return 2 * made.size * given[0].shape[-1]


def _linear_gradients(given: tuple, made: Any) -> int:
    return sum(2 * given[0].size * part.shape[-1] for part in made[:2] if part)


def _cross_entropy_gradient(given: tuple, _made: Any) -> int:
    return 4 * given[2].size  # g (exp(x - logsumexp) - hit)


def _mean_pooling(given: tuple, made: Any) -> int:
    # each number once, and each window's factor: windows that overlap are not known here
    return given[0].size + made.size


FORMULAS: dict[str, Callable[[tuple, Any], int]] = {
    "conv2d": _convolution,
    "conv2d backward": _convolution_gradients,
    "conv2d_input_grad": _input_gradient,
    "conv2d_weight_grad": _weight_gradient,
    "rectified_conv2d": _convolution,
    "rectified_conv2d backward": _convolution_gradients,
    "conv2d_relu_max_pool2d": _pooled_convolution,
    "conv2d_relu_max_pool2d_grad": _pooled_convolution_gradients,
    "matmul": _product,
    "linear": _product,
    "linear backward": _linear_gradients,
    "linear_relu": _product,
    "linear_relu_grad": _linear_gradients,
    "avg_pool2d": _mean_pooling,
    "avg_pool2d_grad": _mean_pooling,
    "cross_entropy backward": _cross_entropy_gradient,
}
"""Operators whose operations follow from arguments and results."""


def operator_flops(name: str, given: tuple, made: Any) -> int | None:
    """The operations of an operator; None for one that is not known, and of one that failed."""
    try:
        if name in FORMULAS:
            return FORMULAS[name](given, made)
        if name in PER_INPUT:
            return PER_INPUT[name] * given[0].size
        return made.size if name in PER_RESULT else None
    except _OTHERS:
        return None


# what a formula says of an operator that is not ours but has its name, with other arguments
_OTHERS = AttributeError, IndexError, KeyError, TypeError, ValueError

# --------------------------------------------------------------------------- changes in place


def _accumulated(given: tuple) -> int:
    """``a += b``: both read, one written."""
    return 3 * given[0].nbytes


def _sgd(given: tuple) -> int:
    """Parameter and gradient read and the one written; the velocity read and written."""
    params, _, options = given
    return sum(p.nbytes for p in specs(params)) * (5 if options["momentum"] else 3)


def _adam(given: tuple) -> int:
    """Parameter, mean and mean square read and written (and the largest one), gradient read."""
    params, _, options = given
    return sum(p.nbytes for p in specs(params)) * (9 if options["amsgrad"] else 7)


CHANGES: dict[str, Callable[[tuple], int]] = {
    "accumulate": _accumulated,
    "SGD.step": _sgd,
    "Adam.step": _adam,
    "AdamW.step": _adam,
}
"""The bytes of what changes arrays in place, from its arguments."""


def operator_bytes(name: str, given: tuple, made: Any) -> int:
    """The bytes that an operator reads and writes."""
    if name in CHANGES:
        try:
            return CHANGES[name](given)
        except _OTHERS:
            return 0
    return sum(spec.nbytes for spec in specs((given, made)))


# --------------------------------------------------------------------------- kernels

KERNELS: dict[str, Callable[[dict], int]] = {
    "conv.flat.correlate": lambda a: 2 * a["x"].shape[0] * math.prod(a["size"]) * a["w"].size,
    "conv.flat.correlate_weight": lambda a: (
        2 * a["g"].size * a["x"].shape[1] // a["groups"] * a["height"] * a["width"]
    ),
    "conv.flat.add_up": lambda a: a["g"].size,
    "matmul.small.forward": lambda a: 2 * a["x"].size * a["w"].shape[0],
    "matmul.small.backward": lambda a: 2 * a["g"].size * (a["dx"].shape[1] + a["dw"].shape[1]),
    "matmul.cpu.multiply": lambda a: 2 * a["result"].size * a["a"].shape[-1],
    "norm.cpu.normalize": lambda a: 8 * a["x"].size,
    "norm.cpu.normalize_grad": lambda a: 11 * a["x"].size,
    "norm.cpu.scale_shift": lambda a: 2 * a["x"].size,
    "norm.cpu.channel_dot": lambda a: 2 * a["x"].size,
    "norm.cpu.group_normalize": lambda a: 8 * a["rows"].size,
    "pool.cpu.scatter": lambda a: a["g"].size,
    "softmax.cpu.cross_entropy": lambda a: 3 * a["x"].size,
    "softmax.cpu.cross_entropy_grad": lambda a: 4 * a["x"].size,
}
"""The operations of compiled kernels, from their arguments by name."""

BY_ADDRESS = {"optim.cpu.sgd", "optim.cpu.adam"}
"""Kernels that get addresses in the place of arrays, so that their bytes are not known."""

_IDLE = {"skip": True, "wanted": False, "sparse": False}
"""Flags among the arguments of kernels, and the value with which they do nothing."""


def is_idle(arguments: dict[str, Any]) -> bool:
    """Whether a kernel was told to do nothing."""
    return any(
        name in arguments and bool(arguments[name].value) is idle for name, idle in _IDLE.items()
    )

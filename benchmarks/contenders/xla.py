"""JAX on the CPU: everything under ``jit``, a training step as a whole."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks import data
from benchmarks.networks import LAYERS

jax.config.update("jax_platforms", "cpu")

_LAYOUT = ("NCHW", "OIHW", "NCHW")
_NAMES = ("conv1", "conv2", "fc1", "fc2", "fc3")
"""The layers of the article's network."""


class XLA:
    """What JAX's users would write."""

    # ------------------------------------------------------------------ the article's network

    def training_step(self, network: str, batch: int) -> Callable:
        """Forward, backward and update by SGD with momentum, on another batch each time."""
        parameters = article_parameters(network)
        velocities = {name: jnp.zeros_like(value) for name, value in parameters.items()}
        batches = _batches(batch)
        state = parameters, velocities

        def run() -> float:
            nonlocal state
            state, loss = article_step(*state, *next(batches))
            return float(loss)

        return run

    def inference(self, network: str, batch: int) -> Callable:
        """Forward only, on another batch each time."""
        parameters = article_parameters(network)
        forward, batches = jax.jit(_article), _batches(batch)
        return lambda: forward(parameters, next(batches)[0]).block_until_ready()

    # ------------------------------------------------------------------ layers

    def convolution(self, part: str, **shape: int) -> Callable:
        """See `benchmarks.contenders.ours.Ours.convolution`."""
        x, w, g = map(jnp.asarray, data.convolution(**shape))
        stride, edges = (shape["stride"],) * 2, [(shape["padding"],) * 2] * 2

        def forward(x: Any, w: Any) -> Any:
            return lax.conv_general_dilated(
                x,
                w,
                stride,
                edges,
                dimension_numbers=_LAYOUT,
                feature_group_count=shape["groups"],
            )

        if part == "forward":
            return _ready(forward, x, w)
        i = ("input gradient", "weight gradient").index(part)
        # jit leaves out the gradient that is not returned, and the forward pass
        return _ready(lambda x, w, g: jax.vjp(forward, x, w)[1](g)[i], x, w, g)

    def max_pool(self, shape: tuple, kernel: int, stride: int, padding: int) -> Callable:
        """Forward and backward."""
        return _forward_and_backward(
            lambda x: _max_pool(x, kernel, stride, padding), data.normal(*shape)
        )

    def batch_norm(self, shape: tuple) -> Callable:
        """Forward, with the statistics of the batch, and backward."""

        def norm(x: Any, weight: Any, bias: Any) -> Any:
            mean = x.mean((0, 2, 3), keepdims=True)
            scale = lax.rsqrt(x.var((0, 2, 3), keepdims=True) + 1e-5)
            channels = (1, -1, 1, 1)
            return (x - mean) * (scale * weight.reshape(channels)) + bias.reshape(channels)

        return _forward_and_backward(norm, data.normal(*shape), *_weight_and_bias((shape[1],)))

    def linear(self, batch: int, inputs: int, outputs: int) -> Callable:
        """Forward and backward."""
        return _forward_and_backward(
            lambda x, weight, bias: x @ weight.T + bias,
            data.normal(batch, inputs),
            *_weight_and_bias((outputs, inputs)),
        )

    def cross_entropy(self, batch: int, classes: int) -> Callable:
        """Softmax and the mean of the negative logarithms, forward and backward."""
        labels = jnp.asarray(data.labels(batch, classes))
        return _forward_and_backward(
            lambda x: _cross_entropy(x, labels), data.normal(batch, classes)
        )

    def product(self, size: int) -> Callable:
        """The product of two square matrices."""
        return _ready(jnp.matmul, data.normal(size, size), data.normal(size, size, seed=1))

    # ------------------------------------------------------------------ updates

    def update(self, optimizer: str, shapes: list[tuple[int, ...]]) -> Callable:
        """One step of an optimizer on parameters of these shapes."""
        parameters = [jnp.asarray(data.normal(*shape, seed=i)) for i, shape in enumerate(shapes)]
        gradients = [
            jnp.asarray(data.normal(*shape, seed=1000 + i)) for i, shape in enumerate(shapes)
        ]
        rule = {"SGD": _sgd, "Adam": _adam}[optimizer]
        zeros = [jnp.zeros_like(value) for value in parameters]
        state = (parameters, zeros, [jnp.zeros_like(value) for value in parameters], 0)
        step = jax.jit(lambda state: rule(state, gradients), donate_argnums=0)

        def run() -> None:
            nonlocal state
            state = jax.block_until_ready(step(state))

        return run


def article_parameters(network: str) -> dict[str, Any]:
    if network != "article":
        raise ValueError(f"{network} is not written for JAX")
    parameters = {}
    for name, layer in zip(_NAMES, LAYERS[network], strict=True):
        square = (layer.kernel, layer.kernel) if layer.kernel else ()
        shapes = {"weight": (layer.outputs, layer.inputs, *square), "bias": (layer.outputs,)}
        for key, shape in shapes.items():
            full = f"{name}.{key}"
            parameters[full] = jnp.asarray(data.parameter(full, shape))
    return parameters


def _batches(size: int) -> Any:
    return itertools.cycle(
        (jnp.asarray(pictures), jnp.asarray(labels)) for pictures, labels in data.batches(size)
    )


def _article(parameters: dict[str, Any], x: Any) -> Any:
    """(N, 3, 32, 32) pictures to (N, 10) logits."""
    for name in ("conv1", "conv2"):
        weight, bias = parameters[f"{name}.weight"], parameters[f"{name}.bias"]
        x = lax.conv_general_dilated(x, weight, (1, 1), "VALID", dimension_numbers=_LAYOUT)
        x = _max_pool(jax.nn.relu(x + bias[:, None, None]), 2, 2, 0)
    x = x.reshape(len(x), -1)
    for name in ("fc1", "fc2"):
        x = jax.nn.relu(x @ parameters[f"{name}.weight"].T + parameters[f"{name}.bias"])
    return x @ parameters["fc3.weight"].T + parameters["fc3.bias"]


@partial(jax.jit, donate_argnums=(0, 1))
def article_step(parameters: dict, velocities: dict, pictures: Any, labels: Any) -> tuple:
    """The parameters and velocities after one step, and the loss before it."""

    def loss_of(parameters: dict) -> Any:
        return _cross_entropy(_article(parameters, pictures), labels)

    loss, gradients = jax.value_and_grad(loss_of)(parameters)
    velocities = {name: 0.9 * velocities[name] + g for name, g in gradients.items()}
    parameters = {name: p - 0.001 * velocities[name] for name, p in parameters.items()}
    return (parameters, velocities), loss


def _max_pool(x: Any, kernel: int, stride: int, padding: int) -> Any:
    window, steps = (1, 1, kernel, kernel), (1, 1, stride, stride)
    edges = [(0, 0), (0, 0), (padding, padding), (padding, padding)]
    return lax.reduce_window(x, -np.inf, lax.max, window, steps, edges)


def _cross_entropy(x: Any, labels: Any) -> Any:
    return -jnp.take_along_axis(jax.nn.log_softmax(x), labels[:, None], 1).mean()


def _sgd(state: tuple, gradients: list) -> tuple:
    parameters, velocities, unused, count = state
    velocities = [0.9 * v + g for v, g in zip(velocities, gradients)]
    return [p - 1e-4 * v for p, v in zip(parameters, velocities)], velocities, unused, count + 1


def _adam(state: tuple, gradients: list) -> tuple:
    parameters, means, squares, count = state
    count = count + 1
    means = [0.9 * m + 0.1 * g for m, g in zip(means, gradients)]
    squares = [0.999 * s + 0.001 * g * g for s, g in zip(squares, gradients)]
    rate, root = 1e-4 / (1 - 0.9**count), jnp.sqrt(1 - 0.999**count)
    parameters = [
        p - rate * m / (jnp.sqrt(s) / root + 1e-8) for p, m, s in zip(parameters, means, squares)
    ]
    return parameters, means, squares, count


def _weight_and_bias(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    return data.parameter("weight", shape), data.parameter("bias", shape[:1])


def _ready(function: Callable, *arrays: Any) -> Callable:
    """The jitted function of these arrays, waited for."""
    compiled, arrays = jax.jit(function), tuple(map(jnp.asarray, arrays))
    return lambda: jax.block_until_ready(compiled(*arrays))


def _forward_and_backward(function: Callable, *arrays: np.ndarray) -> Callable:
    """Work that returns the function of the arrays, and the gradients in all."""
    shape = jax.eval_shape(function, *arrays).shape

    def both(g: Any, *arrays: Any) -> tuple:
        y, backward = jax.vjp(function, *arrays)
        return y, *backward(g)

    return _ready(both, data.normal(*shape, seed=1), *arrays)


CONTENDERS = {"JAX": XLA()}

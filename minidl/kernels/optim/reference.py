"""Updates of parameters, the definitions.

All arrays have one shape and one dtype; ``param`` and the state change in place, ``grad``
does not. Scalars are Python numbers.
"""

from __future__ import annotations

import math

import numpy as np


def check(param: np.ndarray, **others: np.ndarray | None) -> None:
    """ValueError if an array differs from the parameter in shape or dtype."""
    for name, array in others.items():
        if array is not None and (array.shape != param.shape or array.dtype != param.dtype):
            raise ValueError(
                f"the {name}, {array.dtype}{list(array.shape)}, does not fit the parameter, "
                f"{param.dtype}{list(param.shape)}"
            )


@np.errstate(all="ignore")
def sgd(
    param: np.ndarray,
    grad: np.ndarray,
    velocity: np.ndarray | None,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
) -> None:
    """Stochastic gradient descent with momentum.

    ``g = grad + weight_decay * param; v = momentum * v + (1 - dampening) * g``, then
    ``param -= lr * v``, or with Nesterov's momentum ``lr * (g + momentum * v)``. Without a
    ``velocity`` v, ``param -= lr * g``.

    Source: I. Sutskever et al., "On the importance of initialization and momentum", ICML 2013
    """
    check(param, grad=grad, velocity=velocity)
    step = grad + weight_decay * param
    if velocity is not None:
        velocity *= momentum
        velocity += (1 - dampening) * step
        step = step + momentum * velocity if nesterov else velocity
    param -= lr * step


@np.errstate(all="ignore")
def adam(
    param: np.ndarray,
    grad: np.ndarray,
    mean: np.ndarray,
    square: np.ndarray,
    largest: np.ndarray | None,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
) -> None:
    """Adam; AdamW if ``decoupled``; AMSGrad if there is a ``largest`` square so far.

    ``m = beta1 * m + (1 - beta1) * g``, ``s = beta2 * s + (1 - beta2) * g^2``, then
    ``param -= lr * m / (1 - beta1^t) / (sqrt(s / (1 - beta2^t)) + eps)`` in step t = 1, 2, ...
    Weight decay is added to the gradient or, decoupled, shrinks ``param`` by itself.

    Sources: D. Kingma, J. Ba, https://arxiv.org/abs/1412.6980; I. Loshchilov, F. Hutter,
    https://arxiv.org/abs/1711.05101; S. Reddi et al., https://arxiv.org/abs/1904.09237
    """
    check(param, grad=grad, mean=mean, square=square, largest=largest)
    if decoupled:
        param *= 1 - lr * weight_decay
    else:
        grad = grad + weight_decay * param
    mean += (1 - beta1) * (grad - mean)
    square *= beta2
    square += (1 - beta2) * grad * grad
    if largest is not None:
        np.maximum(largest, square, out=largest)
        square = largest
    denominator = np.sqrt(square) / math.sqrt(1 - beta2**step) + eps
    param -= lr / (1 - beta1**step) * mean / denominator

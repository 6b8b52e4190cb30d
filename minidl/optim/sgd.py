"""Stochastic gradient descent."""

from __future__ import annotations

from itertools import compress
from typing import Any

from minidl import kernels, ops
from minidl.optim.optimizer import Optimizer, Params
from minidl.tensor import Tensor


class SGD(Optimizer):
    """``v = momentum * v + (1 - dampening) * g; p -= lr * v`` with ``g = grad + weight_decay * p``.

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        See `Optimizer`.
    lr : float
        The learning rate.
    momentum : float
        How much of the velocity v stays; v starts as the first g. With 0 there is none.
    dampening : float
        How much of a new gradient does not go into v.
    weight_decay : float
        The factor of an L2 penalty.
    nesterov : bool
        Step by ``g + momentum * v`` instead of v; needs a momentum and no dampening.
    maximize : bool
        Go up instead of down.

    Source: I. Sutskever et al., "On the importance of initialization and momentum", ICML 2013
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ):
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def check_options(self, group: dict[str, Any]) -> None:
        super().check_options(group)
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ValueError("Nesterov's momentum needs a momentum above 0 and no dampening")

    def update(self, params: list[Tensor], gradients: list[Any], group: dict[str, Any]) -> None:
        if group["momentum"] == 0:
            self._run(params, gradients, None, 0, group)
            return
        velocities = [self.state[param].get("momentum_buffer") for param in params]
        begins = [velocity is None for velocity in velocities]
        if any(begins):
            self._begin(list(compress(params, begins)), list(compress(gradients, begins)), group)
            begun = [not begin for begin in begins]
            params, gradients, velocities = (
                list(compress(column, begun)) for column in (params, gradients, velocities)
            )
        if params:
            arrays = [velocity.array for velocity in velocities]
            self._run(params, gradients, arrays, group["dampening"], group)

    def _begin(self, params: list[Tensor], gradients: list[Any], group: dict[str, Any]) -> None:
        """The first step of some parameters: their velocity becomes the gradient."""
        velocities = [ops.zeros_like(param) for param in params]
        for param, velocity in zip(params, velocities):
            self.state[param]["momentum_buffer"] = velocity
        # of 0 nothing stays, and without dampening all of the gradient is added
        self._run(params, gradients, [velocity.array for velocity in velocities], 0, group)

    def _run(
        self,
        params: list[Tensor],
        gradients: list[Any],
        velocities: list[Any] | None,
        dampening: float,
        group: dict[str, Any],
    ) -> None:
        kernels.sgd(
            [param.array for param in params],
            gradients,
            velocities,
            group["lr"],
            group["momentum"],
            dampening,
            group["weight_decay"],
            group["nesterov"],
        )

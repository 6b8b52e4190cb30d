"""Adam and AdamW."""

from __future__ import annotations

from typing import Any

from minidl import kernels, ops
from minidl.backend import float32
from minidl.optim.optimizer import Optimizer, Params
from minidl.tensor import Tensor


class Adam(Optimizer):
    """Steps scaled by running means of the gradients and of their squares.

    ``m = beta1 * m + (1 - beta1) * g``, ``s = beta2 * s + (1 - beta2) * g^2``, then
    ``p -= lr * m / (1 - beta1^t) / (sqrt(s / (1 - beta2^t)) + eps)`` in step t = 1, 2, ...

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        See `Optimizer`.
    lr : float
        The learning rate.
    betas : (float, float)
        How much of m and s stays.
    eps : float
        Keeps the divisor away from 0.
    weight_decay : float
        The factor of an L2 penalty, whose gradient is added to g.
    amsgrad : bool
        Divide by the largest s so far.
    maximize : bool
        Go up instead of down.

    Sources: D. Kingma, J. Ba, https://arxiv.org/abs/1412.6980 and, for amsgrad, S. Reddi
    et al., https://arxiv.org/abs/1904.09237
    """

    decoupled = False

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ):
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def check_options(self, group: dict[str, Any]) -> None:
        super().check_options(group)
        if len(group["betas"]) != 2 or not all(0 <= beta < 1 for beta in group["betas"]):
            raise ValueError(f"betas are two numbers in [0, 1), got {group['betas']}")

    def _state_of(self, param: Tensor, amsgrad: bool) -> dict[str, Tensor]:
        state = self.state[param]
        if not state:
            state["step"] = ops.zeros((), dtype=float32, device="cpu")
            state["exp_avg"] = ops.zeros_like(param)
            state["exp_avg_sq"] = ops.zeros_like(param)
        if amsgrad and "max_exp_avg_sq" not in state:
            state["max_exp_avg_sq"] = ops.zeros_like(param)
        return state

    def update(self, params: list[Tensor], gradients: list[Any], group: dict[str, Any]) -> None:
        states = [self._state_of(param, group["amsgrad"]) for param in params]
        for state in states:
            state["step"].array += 1
        largests = [state["max_exp_avg_sq"].array for state in states] if group["amsgrad"] else None
        kernels.adam(
            [param.array for param in params],
            gradients,
            [state["exp_avg"].array for state in states],
            [state["exp_avg_sq"].array for state in states],
            largests,
            [int(state["step"].array) for state in states],
            group["lr"],
            *group["betas"],
            group["eps"],
            group["weight_decay"],
            self.decoupled,
        )


class AdamW(Adam):
    """Adam whose weight decay shrinks the parameters by itself, apart from the gradient.

    Before each of `Adam`'s steps, ``p *= 1 - lr * weight_decay``.

    Source: I. Loshchilov, F. Hutter, https://arxiv.org/abs/1711.05101
    """

    decoupled = True

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ):
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)

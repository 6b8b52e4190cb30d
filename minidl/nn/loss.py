"""Losses as layers: ``criterion = CrossEntropyLoss(); criterion(input, target)``.

``reduction`` is ``"mean"``, ``"sum"`` or ``"none"``; the formulas, shapes and errors are
those of the functions of the same name in `minidl.nn.functional`.
"""

from __future__ import annotations

from minidl import ops
from minidl.nn.module import Module
from minidl.tensor import Tensor


class _Loss(Module):
    reductions = ("mean", "sum", "none")

    def __init__(self, reduction: str):
        super().__init__()
        if reduction not in self.reductions:
            names = ", ".join(map(repr, self.reductions))
            raise ValueError(f"{type(self).__name__}: reduction is one of {names}: {reduction!r}")
        self.reduction = reduction


class CrossEntropyLoss(_Loss):
    """Minus the log-probability of the target classes, of unnormalised scores.

    Parameters
    ----------
    weight : Tensor, optional
        A weight per class, of shape (C,).
    ignore_index : int
        A label that does not count.
    label_smoothing : float
        In [0, 1]: how much of the target goes to all classes alike.
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ):
        super().__init__(reduction)
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return ops.cross_entropy(
            input,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class NLLLoss(_Loss):
    """Minus the given log-probability of the target classes; arguments as `CrossEntropyLoss`'."""

    def __init__(
        self, weight: Tensor | None = None, *, ignore_index: int = -100, reduction: str = "mean"
    ):
        super().__init__(reduction)
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return ops.nll_loss(
            input,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
        )


class MSELoss(_Loss):
    """``(x - y)^2``."""

    def __init__(self, *, reduction: str = "mean"):
        super().__init__(reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return ops.mse_loss(input, target, reduction=self.reduction)


class L1Loss(_Loss):
    """``|x - y|``."""

    def __init__(self, *, reduction: str = "mean"):
        super().__init__(reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return ops.l1_loss(input, target, reduction=self.reduction)


class SmoothL1Loss(_Loss):
    """``(x - y)^2 / (2 beta)`` where ``|x - y| < beta``, ``|x - y| - beta / 2`` elsewhere."""

    def __init__(self, *, reduction: str = "mean", beta: float = 1.0):
        super().__init__(reduction)
        self.beta = beta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return ops.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)


class BCELoss(_Loss):
    """``-(y log x + (1 - y) log(1 - x))`` of probabilities x, times ``weight``."""

    def __init__(self, weight: Tensor | None = None, *, reduction: str = "mean"):
        super().__init__(reduction)
        self.register_buffer("weight", weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return ops.binary_cross_entropy(input, target, weight=self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(_Loss):
    """`BCELoss` of ``sigmoid(x)``, accurate for large x.

    ``weight`` multiplies each element's loss, ``pos_weight`` the part of the positive ones.
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        *,
        reduction: str = "mean",
        pos_weight: Tensor | None = None,
    ):
        super().__init__(reduction)
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return ops.binary_cross_entropy_with_logits(
            input,
            target,
            weight=self.weight,
            reduction=self.reduction,
            pos_weight=self.pos_weight,
        )


class KLDivLoss(_Loss):
    """``y (log y - x)`` of log-probabilities x and probabilities y (or, ``log_target``, logs).

    ``reduction="batchmean"`` divides the sum by the batch size, as the divergence is defined.
    """

    reductions = ("mean", "batchmean", "sum", "none")

    def __init__(self, *, reduction: str = "mean", log_target: bool = False):
        super().__init__(reduction)
        self.log_target = log_target

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return ops.kl_div(input, target, reduction=self.reduction, log_target=self.log_target)

"""Knowledge distillation: a network learns from another one's answers, or from its insides."""

from __future__ import annotations

from collections.abc import Iterable

from minidl import nn
from minidl.autograd import RemovableHandle
from minidl.nn import functional as F
from minidl.tensor import Tensor


class DistillationLoss(nn.Module):
    """Cross-entropy with the labels, and with what the teacher says.

    ``(1 - alpha) * cross_entropy(logits, labels) + alpha * T**2 * KL(teacher || student)``, both
    softmax(logits / T): the square keeps the gradients of the two terms comparable.

    Parameters
    ----------
    temperature : float
        T; the higher, the more the classes that are not the first count.
    alpha : float
        The weight of the teacher, from 0 to 1.

    Source: https://arxiv.org/abs/1503.02531
    """

    def __init__(self, temperature: float = 4.0, alpha: float = 0.9):
        super().__init__()
        if temperature <= 0 or not 0 <= alpha <= 1:
            raise ValueError(
                f"wants temperature > 0 and 0 <= alpha <= 1, got {temperature}, {alpha}"
            )
        self.temperature, self.alpha = temperature, alpha

    def forward(self, logits: Tensor, teacher_logits: Tensor, labels: Tensor) -> Tensor:
        """A number, for logits (N, classes) of both and labels (N,)."""
        if tuple(logits.shape) != tuple(teacher_logits.shape):
            raise ValueError(
                f"student and teacher have logits of shapes {tuple(logits.shape)} and "
                f"{tuple(teacher_logits.shape)}"
            )
        softened = F.log_softmax(logits / self.temperature, 1)
        wanted = F.softmax(teacher_logits.detach() / self.temperature, 1)
        soft = F.kl_div(softened, wanted, reduction="batchmean") * self.temperature**2
        return (1 - self.alpha) * F.cross_entropy(logits, labels) + self.alpha * soft


class Features:
    """The results of some modules of a model, from its last call.

    ``with Features(model, ["conv2"]) as features: model(x); features["conv2"]``
    """

    def __init__(self, model: nn.Module, names: Iterable[str]):
        self.modules = {name: model.get_submodule(name) for name in names}
        self.found: dict[str, Tensor] = {}
        self.handles: list[RemovableHandle] = []

    def __enter__(self) -> Features:
        for name, module in self.modules.items():
            self.handles.append(module.register_forward_hook(self._keep(name)))
        return self

    def __exit__(self, *exception: object) -> None:
        while self.handles:
            self.handles.pop().remove()

    def __getitem__(self, name: str) -> Tensor:
        """The result of a module; KeyError if it has not been called."""
        return self.found[name]

    def _keep(self, name: str):
        def keep(_module: nn.Module, _args: tuple, result: Tensor) -> None:
            self.found[name] = result

        return keep


class FeatureLoss(nn.Module):
    """The mean squared distance of the student's features from the teacher's.

    A learnt 1x1 convolution, or a linear layer for features without places, leads from the
    student's channels to the teacher's; its parameters are to be trained with the student's.
    Pictures of another size are averaged to the teacher's.

    Source: https://arxiv.org/abs/1412.6550
    """

    def __init__(self, student_channels: int, teacher_channels: int, dims: int = 4):
        super().__init__()
        if dims not in (2, 4):
            raise ValueError(f"features are (N, C) or (N, C, H, W), got dims={dims}")
        if dims == 4:
            self.regressor = nn.Conv2d(student_channels, teacher_channels, 1)
        else:
            self.regressor = nn.Linear(student_channels, teacher_channels)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """A number, for the features of both."""
        found = self.regressor(student)
        if found.ndim == 4 and found.shape[2:] != teacher.shape[2:]:
            found = F.adaptive_avg_pool2d(found, tuple(teacher.shape[2:]))
        return F.mse_loss(found, teacher.detach())

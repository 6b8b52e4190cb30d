"""All of it in one call: channels, weights and integers, with training in between."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import minidl
from minidl import nn
from minidl.compress import pruning, quantization
from minidl.compress.report import Report
from minidl.compress.tuning import fine_tune
from minidl.tensor import Tensor
from minidl.utils.data import DataLoader, Dataset

_CALIBRATION = 1024  # pictures


class Data(Protocol):
    """Data sets of inputs and labels: `preprocess_data` returns one."""

    train: Dataset
    test: Dataset


@dataclass(frozen=True)
class Target:
    """How small the model shall become; each part may be left out.

    Attributes
    ----------
    multiply_adds : float or None
        The share of the multiply-adds to keep: channels are removed.
    weights : float or None
        The share of the weights to keep: the others become zero.
    integers : str or None
        "static": 8-bit integers, calibrated; "trained": with training that rehearses them;
        "dynamic": of linear layers alone, without data.
    """

    multiply_adds: float | None = None
    weights: float | None = None
    integers: str | None = "static"

    def __post_init__(self) -> None:
        for name in ("multiply_adds", "weights"):
            share = getattr(self, name)
            if share is not None and not 0 < share <= 1:
                raise ValueError(f"{name} is a share above 0 and up to 1, got {share}")
        if self.integers not in (None, "static", "trained", "dynamic"):
            raise ValueError(
                f'integers is "static", "trained", "dynamic" or None, got {self.integers!r}'
            )


@dataclass
class Compressed:
    """A compressed model, in evaluation mode, and the report on the way there."""

    model: nn.Module
    report: Report


def compress_model(
    model: nn.Module,
    data: Data,
    target: Target | None = None,
    *,
    epochs: int = 1,
    batch_size: int = 128,
    lr: float = 0.02,
) -> Compressed:
    """Remove channels, then weights, then make integers of what is left.

    After each step that costs accuracy the model is trained on, with the original model's answers
    (`DistillationLoss`), and measured.

    Parameters
    ----------
    model : Module
        On the CPU; it stays as it is.
    data : Data
        ``data.train`` to train and calibrate on, ``data.test`` to measure on.
    target : Target, optional
        What to do; by default integers alone.
    epochs : int
        Of training after each step.
    batch_size : int
        Of that training.
    lr : float
        Its highest learning rate.

    Returns
    -------
    Compressed
        The model and the report.
    """
    return _Pipeline(model, data, epochs, batch_size, lr).run(target or Target())


class _Pipeline:
    """The steps, and what they share."""

    def __init__(self, model: nn.Module, data: Data, epochs: int, batch_size: int, lr: float):
        self.teacher = copy.deepcopy(model).eval()
        self.model = copy.deepcopy(model).eval()
        self.train = DataLoader(data.train, batch_size, shuffle=True, num_workers=1)
        self.test = DataLoader(data.test, 500, num_workers=1)
        self.training: dict[str, Any] = {"epochs": epochs, "lr": lr, "teacher": self.teacher}
        self.example = next(iter(self.test))[0][:1]
        self.report = Report()

    def run(self, target: Target) -> Compressed:
        self.measure("original")
        if target.multiply_adds is not None and target.multiply_adds < 1:
            self.remove_channels(target.multiply_adds)
        if target.weights is not None and target.weights < 1:
            self.prune_weights(1 - target.weights)
        if target.integers is not None:
            self.model = quantization.fold_batch_norm(self.model, self.example)
            self.make_integers(target.integers)
        return Compressed(self.model, self.report)

    def measure(self, step: str) -> None:
        self.report.add(step, self.model, self.example, self.test)

    def remove_channels(self, share: float) -> None:
        self.model = pruning.prune_channels_to(self.model, self.example, share, round_to=8)
        fine_tune(self.model, self.train, label="after removing channels", **self.training)
        self.measure("channels removed")

    def prune_weights(self, share: float) -> None:
        steps = self.training["epochs"] * len(self.train)
        gradual = pruning.GradualPruning(
            pruning.weights_of(self.model), share, end=max(1, 2 * steps // 3), every=8
        )
        fine_tune(
            self.model,
            self.train,
            after_step=gradual.step,
            label="while pruning weights",
            **self.training,
        )
        for where in pruning.pruned(self.model):
            pruning.remove(*where)
        self.measure("weights pruned")

    def make_integers(self, how: str) -> None:
        if how == "dynamic":
            self.model = quantization.quantize_dynamic(self.model)
        elif how == "static":
            self.model = quantization.quantize_static(self.model, self.calibration())
        else:
            self.rehearse()
        self.measure(f"integers, {how}")

    def calibration(self) -> Iterator[Tensor]:
        """Some training inputs."""
        batches = -(-_CALIBRATION // self.train.batch_size)
        return (inputs for inputs, _ in itertools.islice(self.train, batches))

    def rehearse(self) -> None:
        """Train while rounding as the integers will; weights that are zero stay so."""
        prepared = quantization.prepare_qat(self.model)
        weights = [module.weight for module, _ in pruning.weights_of(prepared)]
        masks = [(weight.detach() != 0).to(weight.dtype) for weight in weights]

        def hold_zeros() -> None:
            with minidl.no_grad():
                for weight, mask in zip(weights, masks):
                    weight.mul_(mask)

        pruned = not all(bool(mask.all()) for mask in masks)
        fine_tune(
            prepared,
            self.train,
            after_step=hold_zeros if pruned else None,
            label="rehearsing integers",
            **{**self.training, "lr": self.training["lr"] / 4},
        )
        self.model = quantization.convert(prepared)

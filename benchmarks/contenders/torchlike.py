"""Work written down once, for PyTorch and for minidl: the names and arguments are the same."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from types import ModuleType
from typing import Any, ClassVar

import numpy as np

from benchmarks import data


class TorchLike:
    """The workloads in PyTorch's names; ``library`` is what they are run with.

    ``networks`` are functions without arguments that make a network, by name.
    """

    library: ModuleType
    networks: ClassVar[dict[str, Callable[[], Any]]]

    # ------------------------------------------------------------------ for subclasses

    def compiled_inference(self, forward: Callable) -> Callable:
        """A pass forward as this contender would run it."""
        return forward

    def compiled_loss(self, loss_of: Callable) -> Callable:
        """A function of pictures and labels that is differentiated."""
        return loss_of

    def compiled_step(self, step: Callable) -> Callable:
        """A whole training step."""
        return step

    def without_grad(self) -> Any:
        """The context for inference."""
        return self.library.no_grad()

    # ------------------------------------------------------------------ networks

    def training_step(self, network: str, batch: int, nudged: bool = False) -> Callable:
        """Forward, backward and update by SGD with momentum, on another batch each time."""
        model = self._model(network, nudged)
        optimizer = self.library.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)
        criterion = self.library.nn.CrossEntropyLoss()
        loss_of = self.compiled_loss(lambda pictures, labels: criterion(model(pictures), labels))

        def step(pictures: Any, labels: Any) -> Any:
            optimizer.zero_grad()
            loss = loss_of(pictures, labels)
            loss.backward()
            optimizer.step()
            return loss

        step = self.compiled_step(step)
        batches = itertools.cycle(
            (self._tensor(pictures), self._tensor(labels))
            for pictures, labels in data.batches(batch)
        )
        return lambda: step(*next(batches)).item()

    def inference(self, network: str, batch: int) -> Callable:
        """Forward only, on another batch each time."""
        model = self._model(network).eval()
        forward = self.compiled_inference(lambda pictures: model(pictures))
        batches = itertools.cycle(self._tensor(pictures) for pictures, _ in data.batches(batch))

        def infer() -> Any:
            with self.without_grad():
                return forward(next(batches))

        return infer

    # ------------------------------------------------------------------ layers

    def max_pool(self, shape: tuple, kernel: int, stride: int, padding: int) -> Callable:
        """Forward and backward."""
        pool = self.library.nn.MaxPool2d(kernel, stride, padding)
        return self._forward_and_backward(pool, [self._variable(shape)])

    def batch_norm(self, shape: tuple) -> Callable:
        """Forward, with the statistics of the batch, and backward."""
        norm = self._filled(self.library.nn.BatchNorm2d(shape[1]))
        return self._forward_and_backward(norm, [self._variable(shape), *norm.parameters()])

    def linear(self, batch: int, inputs: int, outputs: int) -> Callable:
        """Forward and backward."""
        layer = self._filled(self.library.nn.Linear(inputs, outputs))
        variables = [self._variable((batch, inputs)), *layer.parameters()]
        return self._forward_and_backward(layer, variables)

    def cross_entropy(self, batch: int, classes: int) -> Callable:
        """Softmax and the mean of the negative logarithms, forward and backward."""
        criterion = self.library.nn.CrossEntropyLoss()
        labels = self._tensor(data.labels(batch, classes))
        return self._forward_and_backward(
            lambda x: criterion(x, labels), [self._variable((batch, classes))]
        )

    # ------------------------------------------------------------------ updates

    def update(self, optimizer: str, shapes: list[tuple[int, ...]]) -> Callable:
        """One step of an optimizer on parameters of these shapes."""
        parameters = [self._variable(shape, seed=i) for i, shape in enumerate(shapes)]
        for i, parameter in enumerate(parameters):
            parameter.grad = self._tensor(data.normal(*parameter.shape, seed=1000 + i))
        options = {"momentum": 0.9} if optimizer == "SGD" else {}
        step = getattr(self.library.optim, optimizer)(parameters, lr=1e-4, **options).step

        def update() -> None:
            step()

        return update

    # ------------------------------------------------------------------ overhead

    def chain(self, length: int, backward: bool) -> Callable:
        """``length`` products of scalars, one on the other, and perhaps the gradient."""
        x = self.library.tensor(1.5, requires_grad=True)
        factor = self.library.tensor(1.0001)

        def run() -> Any:
            y = x
            for _ in range(length):
                y = y * factor
            if backward:
                return self.library.autograd.grad(y, x)
            return y

        return run

    # ------------------------------------------------------------------ parts

    def _tensor(self, array: np.ndarray) -> Any:
        return self.library.tensor(array)

    def _variable(self, shape: tuple, seed: int = 0) -> Any:
        return self.library.tensor(data.normal(*shape, seed=seed), requires_grad=True)

    def _model(self, network: str, nudged: bool = False) -> Any:
        return self._filled(self.networks[network](), nudged)

    def _filled(self, module: Any, nudged: bool = False) -> Any:
        """The module with the parameters that every library starts from."""
        with self.library.no_grad():
            for name, parameter in module.named_parameters():
                numbers = data.parameter(name, tuple(parameter.shape), nudged)
                parameter.copy_(self._tensor(numbers))
        return module

    def _forward_and_backward(self, function: Callable, variables: list) -> Callable:
        """Work that returns ``function`` of the first variable, and the gradients in all."""
        y = function(variables[0])
        g = self._tensor(data.normal(*y.shape, seed=1))

        def run() -> tuple:
            y = function(variables[0])
            return y, *self.library.autograd.grad(y, variables, g)

        return run

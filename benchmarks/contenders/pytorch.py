"""PyTorch, eager and by ``torch.compile``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import torch
from PIL import Image
from torch.nn import grad

from benchmarks import article_torch, data
from benchmarks.contenders.torchlike import TorchLike
from benchmarks.twins import on_torch

_MODELS = Path(__file__).parents[2] / "minidl" / "vision" / "models"
_resnet, _vgg = on_torch(_MODELS / "resnet.py"), on_torch(_MODELS / "vgg.py")


def _fast_net() -> torch.nn.Sequential:
    """The network of the recipe "fast" in ``examples/cifar_cnn.py``."""
    layers: list[torch.nn.Module] = []
    for inputs, outputs in ((3, 24), (24, 48), (48, 96), (96, 192)):
        layers += [
            torch.nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            torch.nn.BatchNorm2d(outputs),
            torch.nn.MaxPool2d(2),
            torch.nn.ReLU(),
        ]
    return torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Linear(192 * 2 * 2, 10))


class PyTorch(TorchLike):
    """PyTorch as it comes."""

    library = torch
    networks: ClassVar = {
        "article": article_torch.Net,
        "fast": _fast_net,
        "resnet18": lambda: _resnet.resnet18(10),
        "vgg11": lambda: _vgg.vgg11(10, dropout=0.0),  # whose losses can be compared
    }

    def without_grad(self) -> Any:
        return torch.inference_mode()  # the faster of its two

    def convolution(self, part: str, **shape: int) -> Callable:
        """See `benchmarks.contenders.ours.Ours.convolution`."""
        x, w, g = map(torch.tensor, data.convolution(**shape))
        how = shape["stride"], shape["padding"], 1, shape["groups"]
        return {
            "forward": lambda: torch.nn.functional.conv2d(x, w, None, *how),
            "input gradient": lambda: grad.conv2d_input(x.shape, w, g, *how),
            "weight gradient": lambda: grad.conv2d_weight(x, w.shape, g, *how),
        }[part]

    def product(self, size: int) -> Callable:
        """The product of two square matrices."""
        a, b = self._tensor(data.normal(size, size)), self._tensor(data.normal(size, size, seed=1))
        return lambda: a @ b

    def copy(self, count: int) -> Callable:
        """A copy of ``count`` float32 numbers."""
        source = self._tensor(data.normal(count))
        target = torch.empty_like(source)

        def run() -> None:
            target.copy_(source)

        return run

    def loader(self, count: int, batch: int, workers: int) -> Callable:
        """An epoch of the loader over Pillow's pictures, as in the article."""
        dataset = _Pictures(count)
        loader = torch.utils.data.DataLoader(
            dataset, batch_size=batch, shuffle=True, num_workers=workers
        )

        def run() -> None:
            for _ in loader:
                pass

        return run


class _Pictures(torch.utils.data.Dataset):
    """Pictures as Pillow images, transformed one by one."""

    def __init__(self, count: int):
        self.data, self.targets = data.pictures(count), data.labels(count).tolist()

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return article_torch.transform(Image.fromarray(self.data[index])), self.targets[index]

    def __len__(self) -> int:
        return len(self.data)


class Compiled(PyTorch):
    """``torch.compile``, which needs a C++ compiler."""

    def compiled_loss(self, loss_of: Callable) -> Callable:
        return torch.compile(loss_of)

    def compiled_inference(self, forward: Callable) -> Callable:
        return torch.compile(forward)


CONTENDERS = {"PyTorch": PyTorch(), "torch.compile": Compiled()}

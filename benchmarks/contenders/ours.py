"""minidl, as it is called in any program, and compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np

import minidl
from benchmarks import data
from benchmarks.contenders.torchlike import TorchLike
from benchmarks.contenders.unavailable import Unavailable
from minidl import kernels
from minidl.recipes import ArticleNet, fast_net
from minidl.utils.data import DataLoader
from minidl.vision import datasets, models, transforms


class Ours(TorchLike):
    """minidl's kernels, layers and input pipeline."""

    library = minidl
    networks: ClassVar = {
        "article": ArticleNet,
        "fast": fast_net,
        "resnet18": lambda: models.resnet18(10),
        "vgg11": lambda: models.vgg11(10, dropout=0.0),  # whose losses can be compared
    }

    def convolution(
        self,
        part: str,
        batch: int,
        inputs: int,
        outputs: int,
        kernel: int,
        size: int,
        stride: int,
        padding: int,
        groups: int,
    ) -> Callable:
        """The forward pass, or the gradient in the input or the weight; ``size`` is the input's."""
        x, w, g = data.convolution(batch, inputs, outputs, kernel, size, stride, padding, groups)
        how = (stride, stride), (padding,) * 4, (1, 1), groups
        return {
            "forward": lambda: kernels.conv2d(x, w, None, *how),
            "input gradient": lambda: kernels.conv2d_input_grad(g, w, x.shape, *how),
            "weight gradient": lambda: kernels.conv2d_weight_grad(g, x, w.shape, *how),
        }[part]

    def product(self, size: int) -> Callable:
        """The product of two square matrices."""
        a, b = data.normal(size, size), data.normal(size, size, seed=1)
        return lambda: kernels.matmul(a, b)

    def augmentation(self, count: int) -> Callable:
        """Flip, rotation and conversion of ``count`` pictures, on one thread."""
        pictures = _pictures(count)
        indices = np.arange(count)

        def run() -> None:
            with kernels.single_threaded():
                pictures.fetch_batch(indices, 0, 0)

        return run

    def loader(self, count: int, batch: int, workers: int) -> Callable:
        """An epoch of the loader: shuffled, flipped, rotated and put into batches."""
        loader = DataLoader(_pictures(count), batch_size=batch, shuffle=True, num_workers=workers)

        def run() -> None:
            for _ in loader:
                pass

        return run


def _pictures(count: int) -> datasets.SyntheticPictures:
    chain = transforms.Compose(
        [
            transforms.RandomHorizontalFlip(),
            transforms.RandomRotation(10),
            transforms.ToTensor(),
        ]
    )
    pictures = datasets.SyntheticPictures(size=count, transform=chain)
    pictures.data = data.pictures(count)
    return pictures


class Compiled(Ours):
    """The same steps and passes, repeated from a plan."""

    def compiled_step(self, step: Callable) -> Callable:
        return _compiled(step)

    def compiled_inference(self, forward: Callable) -> Callable:
        return _compiled(forward)


def _compiled(function: Callable) -> Callable:
    if not hasattr(minidl, "compile"):
        raise Unavailable("this minidl has no minidl.compile")
    return minidl.compile(function)


CONTENDERS = {"minidl": Ours(), "minidl compiled": Compiled()}

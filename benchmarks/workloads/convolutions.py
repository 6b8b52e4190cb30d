"""Convolutions forward and both gradients: the article's, VGG's, ResNet-18's and unusual ones."""

from dataclasses import asdict, dataclass

from benchmarks.workload import Workload


@dataclass(frozen=True)
class Shape:
    """A convolution of square pictures of ``size`` pixels by square filters."""

    batch: int
    inputs: int
    outputs: int
    kernel: int
    size: int
    stride: int = 1
    padding: int = 0
    groups: int = 1

    @property
    def flops(self) -> float:
        """Two for each multiply-add; all three parts have the same number."""
        height = (self.size + 2 * self.padding - self.kernel) // self.stride + 1
        taps = self.inputs // self.groups * self.kernel**2
        return 2.0 * self.batch * self.outputs * height**2 * taps


SHAPES = {
    "article 1": Shape(128, 3, 6, 5, 32),
    "article 2": Shape(128, 6, 16, 5, 14),
    "VGG-11, 3 to 64": Shape(32, 3, 64, 3, 32, padding=1),
    "VGG-11, 64 to 128": Shape(32, 64, 128, 3, 16, padding=1),
    "VGG-11, 256 to 256": Shape(32, 256, 256, 3, 8, padding=1),
    "VGG-11, 512 to 512": Shape(32, 512, 512, 3, 4, padding=1),
    "ResNet-18, stem 7x7/2": Shape(32, 3, 64, 7, 32, stride=2, padding=3),
    "ResNet-18, 64 to 64": Shape(32, 64, 64, 3, 8, padding=1),
    "ResNet-18, 512 to 512": Shape(32, 512, 512, 3, 1, padding=1),
    "stride 2, 64 to 128": Shape(32, 64, 128, 3, 16, stride=2, padding=1),
    "1x1, 256 to 64": Shape(32, 256, 64, 1, 16),
    "depthwise, 64": Shape(32, 64, 64, 3, 32, padding=1, groups=64),
}


def _convolution(name: str, part: str, shape: Shape) -> Workload:
    return Workload(
        name=f"conv {name}, {part}",
        family="convolutions",
        kind="convolution",
        contenders=("minidl", "PyTorch", "JAX"),
        options={"part": part, **asdict(shape)},
        flops=shape.flops,
        compared=True,
    )


_PARTS = ("forward", "input gradient", "weight gradient")

WORKLOADS = [
    _convolution(name, part, shape)
    for name, shape in SHAPES.items()
    for part in _PARTS
    if (name, part) != ("article 1", "input gradient")  # nobody wants the pictures' gradient
]

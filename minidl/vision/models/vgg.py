"""VGG: 3x3 convolutions, and a pooling that halves the picture between their groups.

Source: K. Simonyan, A. Zisserman, "Very deep convolutional networks for large-scale image
recognition", ICLR 2015, https://arxiv.org/abs/1409.1556. Layers, names and initial values
are torchvision's.
"""

from __future__ import annotations

from typing import Any

from minidl import nn

_VGG11 = ((64,), (128,), (256, 256), (512, 512), (512, 512))
"""The channels of each group's convolutions."""


class VGG(nn.Module):
    """``features``, pooled to 7x7, then a ``classifier`` of three linear layers.

    Takes pictures (N, 3, H, W), H and W at least 32, and returns the scores of ``num_classes``
    classes. ``dropout`` is the probability in the classifier.
    """

    def __init__(self, features: nn.Module, num_classes: int = 1000, dropout: float = 0.5):
        super().__init__()
        self.features = features
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(4096, num_classes),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0, 0.01)
                nn.init.zeros_(module.bias)

    def forward(self, x: Any) -> Any:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def _features(groups: tuple[tuple[int, ...], ...], batch_norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    channels = 3
    for group in groups:
        for filters in group:
            layers.append(nn.Conv2d(channels, filters, 3, padding=1))
            if batch_norm:
                layers.append(nn.BatchNorm2d(filters))
            layers.append(nn.ReLU(inplace=True))
            channels = filters
        layers.append(nn.MaxPool2d(2, stride=2))
    return nn.Sequential(*layers)


def vgg11(num_classes: int = 1000, dropout: float = 0.5) -> VGG:
    """VGG with 11 layers ("configuration A")."""
    return VGG(_features(_VGG11, batch_norm=False), num_classes, dropout)


def vgg11_bn(num_classes: int = 1000, dropout: float = 0.5) -> VGG:
    """`vgg11` with a batch norm after each convolution."""
    return VGG(_features(_VGG11, batch_norm=True), num_classes, dropout)

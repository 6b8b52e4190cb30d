"""Residual networks: blocks that add what they compute to what they were given.

Source: K. He et al., "Deep residual learning for image recognition", CVPR 2016,
https://arxiv.org/abs/1512.03385. Layers, names and initial values are torchvision's.
"""

from __future__ import annotations

from typing import Any

from minidl import nn


def _conv3x3(channels: int, filters: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels, filters, 3, stride=stride, padding=1, bias=False)


class BasicBlock(nn.Module):
    """``relu(f(x) + x)`` with f two 3x3 convolutions, each with batch norm.

    Where f changes the shape, a 1x1 convolution with batch norm changes that of x too.
    """

    def __init__(self, channels: int, filters: int, stride: int = 1):
        super().__init__()
        self.conv1 = _conv3x3(channels, filters, stride)
        self.bn1 = nn.BatchNorm2d(filters)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = _conv3x3(filters, filters)
        self.bn2 = nn.BatchNorm2d(filters)
        self.downsample = None
        if stride != 1 or channels != filters:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels, filters, 1, stride=stride, bias=False),
                nn.BatchNorm2d(filters),
            )

    def forward(self, x: Any) -> Any:
        identity = x if self.downsample is None else self.downsample(x)
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(y)) + identity)


class ResNet(nn.Module):
    """Four stages of ``layers`` blocks with 64, 128, 256 and 512 channels.

    Takes pictures (N, 3, H, W) and returns the scores of ``num_classes`` classes. The first
    layers take H and W to a quarter, so 32x32 pictures reach the last stage as single pixels.
    """

    def __init__(self, layers: tuple[int, int, int, int], num_classes: int = 1000):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = self._stage(64, 64, layers[0], 1)
        self.layer2 = self._stage(64, 128, layers[1], 2)
        self.layer3 = self._stage(128, 256, layers[2], 2)
        self.layer4 = self._stage(256, 512, layers[3], 2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(512, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    @staticmethod
    def _stage(channels: int, filters: int, blocks: int, stride: int) -> nn.Sequential:
        first = BasicBlock(channels, filters, stride)
        return nn.Sequential(first, *(BasicBlock(filters, filters) for _ in range(blocks - 1)))

    def forward(self, x: Any) -> Any:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


def resnet18(num_classes: int = 1000) -> ResNet:
    """The residual network of 18 layers."""
    return ResNet((2, 2, 2, 2), num_classes)


def resnet34(num_classes: int = 1000) -> ResNet:
    """The residual network of 34 layers."""
    return ResNet((3, 4, 6, 3), num_classes)

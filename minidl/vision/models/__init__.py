"""Networks for pictures; torchvision's names, arguments and keys of the state."""

from minidl.vision.models.resnet import ResNet, resnet18, resnet34

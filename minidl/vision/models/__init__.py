"""Networks for pictures; torchvision's names, arguments and keys of the state."""

from minidl.vision.models.resnet import ResNet, resnet18, resnet34
from minidl.vision.models.vgg import VGG, vgg11, vgg11_bn

"""Transforms: what happens to a picture on its way into a network.

Each can be called with one picture. Most can also describe themselves (see `Transform`), so
that a data set in memory applies a whole chain of them to a whole batch in one kernel; the
random numbers, and the results, are the same either way.
"""

from minidl.vision.transforms import functional
from minidl.vision.transforms.base import Transform
from minidl.vision.transforms.color import ColorJitter
from minidl.vision.transforms.compose import Compose, Lambda
from minidl.vision.transforms.crop import CenterCrop, Pad, RandomCrop
from minidl.vision.transforms.functional import InterpolationMode
from minidl.vision.transforms.geometry import (
    RandomHorizontalFlip,
    RandomRotation,
    RandomVerticalFlip,
    Resize,
)
from minidl.vision.transforms.tensors import Normalize, RandomErasing, ToTensor

"""Schedules of the learning rate: call ``scheduler.step()`` after each epoch (or batch)."""

from minidl.optim.lr_scheduler.base import LRScheduler
from minidl.optim.lr_scheduler.decay import (
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    MultiStepLR,
    StepLR,
)
from minidl.optim.lr_scheduler.one_cycle import OneCycleLR
from minidl.optim.lr_scheduler.plateau import ReduceLROnPlateau

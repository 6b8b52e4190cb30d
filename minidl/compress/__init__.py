"""Smaller and faster models: pruning, 8-bit integers, distillation, and all of it in one call."""

from minidl.compress import pruning, quantization
from minidl.compress.counting import multiply_adds, parameters
from minidl.compress.distill import DistillationLoss, FeatureLoss, Features
from minidl.compress.picture import plot
from minidl.compress.pipeline import Compressed, Target, compress_model
from minidl.compress.report import Report, Row
from minidl.compress.trace import trace
from minidl.compress.tuning import fine_tune

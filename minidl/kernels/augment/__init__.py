"""Augmentation of whole batches: a chain of transforms in one pass over each picture."""

from minidl.kernels.augment import cpu, reference
from minidl.kernels.registry import Kernel

augment_pictures = Kernel(
    "augment_pictures", numpy=reference.augment_pictures, numba=cpu.augment_pictures
)
stream_bits = Kernel("stream_bits", numpy=reference.stream_bits, numba=cpu.stream_bits)

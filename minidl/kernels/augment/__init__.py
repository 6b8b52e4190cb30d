"""Augmentation of whole batches: a chain of transforms in one pass over each picture."""

from minidl.kernels.augment import cpu, cuda, reference
from minidl.kernels.augment.streams import stream_bits_numba, stream_bits_numpy
from minidl.kernels.registry import Kernel

augment_pictures = Kernel(
    "augment_pictures",
    numpy=reference.augment_pictures,
    numba=cpu.augment_pictures,
    cuda=cuda.augment_pictures,
)
stream_bits = Kernel("stream_bits", numpy=stream_bits_numpy, numba=stream_bits_numba)

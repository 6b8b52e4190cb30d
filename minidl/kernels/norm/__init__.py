"""Normalisation by channel and by group, and the scaling by channel that goes with it."""

from minidl.kernels.norm import cpu, cuda, reference
from minidl.kernels.registry import Kernel

normalize = Kernel("normalize", numpy=reference.normalize, numba=cpu.normalize, cuda=cuda.normalize)
normalize_grad = Kernel(
    "normalize_grad",
    numpy=reference.normalize_grad,
    numba=cpu.normalize_grad,
    cuda=cuda.normalize_grad,
)
move_running = Kernel("move_running", numpy=reference.move_running, cuda=cuda.move_running)
scale_shift = Kernel(
    "scale_shift", numpy=reference.scale_shift, numba=cpu.scale_shift, cuda=cuda.scale_shift
)
channel_dot = Kernel(
    "channel_dot", numpy=reference.channel_dot, numba=cpu.channel_dot, cuda=cuda.channel_dot
)
group_normalize = Kernel(
    "group_normalize",
    numpy=reference.group_normalize,
    numba=cpu.group_normalize,
    cuda=cuda.group_normalize,
)
group_normalize_grad = Kernel(
    "group_normalize_grad",
    numpy=reference.group_normalize_grad,
    numba=cpu.group_normalize_grad,
    cuda=cuda.group_normalize_grad,
)

"""Softmax and cross-entropy in one: the loss of each row of logits, and its gradient."""

from minidl.kernels.registry import Kernel
from minidl.kernels.softmax import cpu, reference

cross_entropy = Kernel("cross_entropy", numpy=reference.cross_entropy, numba=cpu.cross_entropy)
cross_entropy_grad = Kernel(
    "cross_entropy_grad", numpy=reference.cross_entropy_grad, numba=cpu.cross_entropy_grad
)

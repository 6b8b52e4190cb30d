"""Softmax, its logarithm, and with cross-entropy in one: losses of rows of logits."""

from minidl.kernels.registry import Kernel
from minidl.kernels.softmax import cpu, cuda, reference

softmax = Kernel("softmax", numpy=reference.softmax, cuda=cuda.softmax)
softmax_grad = Kernel("softmax_grad", numpy=reference.softmax_grad, cuda=cuda.softmax_grad)
log_softmax = Kernel("log_softmax", numpy=reference.log_softmax, cuda=cuda.log_softmax)
log_softmax_grad = Kernel(
    "log_softmax_grad", numpy=reference.log_softmax_grad, cuda=cuda.log_softmax_grad
)
cross_entropy = Kernel(
    "cross_entropy",
    numpy=reference.cross_entropy,
    numba=cpu.cross_entropy,
    cuda=cuda.cross_entropy,
    numba_cuda="minidl.kernels.softmax.numba_cuda:cross_entropy",
)
cross_entropy_grad = Kernel(
    "cross_entropy_grad",
    numpy=reference.cross_entropy_grad,
    numba=cpu.cross_entropy_grad,
    cuda=cuda.cross_entropy_grad,
    numba_cuda="minidl.kernels.softmax.numba_cuda:cross_entropy_grad",
)
weighted_mean = Kernel(
    "weighted_mean",
    numpy=reference.weighted_mean,
    numba=cpu.weighted_mean,
    cuda=cuda.weighted_mean,
)
first_wrong_label = Kernel(
    "first_wrong_label", numpy=reference.first_wrong_label, numba=cpu.first_wrong_label
)

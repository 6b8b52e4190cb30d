"""Convolution and its gradients, also with ReLU and pooling behind it."""

from minidl.kernels.conv import cpu, cuda, reference
from minidl.kernels.registry import Kernel

conv2d = Kernel(
    "conv2d",
    numpy=reference.conv2d,
    numba=cpu.conv2d,
    cuda=cuda.conv2d,
    numba_cuda="minidl.kernels.conv.numba_cuda:conv2d",
)
conv2d_input_grad = Kernel(
    "conv2d_input_grad",
    numpy=reference.conv2d_input_grad,
    numba=cpu.conv2d_input_grad,
    cuda=cuda.conv2d_input_grad,
    numba_cuda="minidl.kernels.conv.numba_cuda:conv2d_input_grad",
)
conv2d_weight_grad = Kernel(
    "conv2d_weight_grad",
    numpy=reference.conv2d_weight_grad,
    numba=cpu.conv2d_weight_grad,
    cuda=cuda.conv2d_weight_grad,
    numba_cuda="minidl.kernels.conv.numba_cuda:conv2d_weight_grad",
)
conv2d_grads = Kernel(
    "conv2d_grads",
    numpy=reference.conv2d_grads,
    numba=cpu.conv2d_grads,
    cuda=cuda.conv2d_grads,
    numba_cuda="minidl.kernels.conv.numba_cuda:conv2d_grads",
)
conv2d_relu_max_pool2d = Kernel(
    "conv2d_relu_max_pool2d",
    numpy=reference.conv2d_relu_max_pool2d,
    numba=cpu.conv2d_relu_max_pool2d,
)
conv2d_relu_max_pool2d_grad = Kernel(
    "conv2d_relu_max_pool2d_grad",
    numpy=reference.conv2d_relu_max_pool2d_grad,
    numba=cpu.conv2d_relu_max_pool2d_grad,
)

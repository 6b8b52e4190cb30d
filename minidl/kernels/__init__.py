"""Kernels: one folder per family, every machine's version side by side.

A kernel takes and returns arrays and knows nothing of tensors or gradients. In a family's
folder, ``reference.py`` is the definition in NumPy, ``cpu.py`` the Numba version, and
``__init__.py`` lists which serves what.
"""

from minidl.kernels.activation import activation, activation_grad, relu, relu_grad
from minidl.kernels.augment import augment_pictures, stream_bits
from minidl.kernels.conv import (
    conv2d,
    conv2d_grads,
    conv2d_input_grad,
    conv2d_relu_max_pool2d,
    conv2d_relu_max_pool2d_grad,
    conv2d_weight_grad,
)
from minidl.kernels.dropout import dropout
from minidl.kernels.elementwise import elementwise
from minidl.kernels.jit import get_num_threads, set_num_threads, single_threaded
from minidl.kernels.matmul import linear, linear_grad, matmul
from minidl.kernels.norm import (
    channel_dot,
    group_normalize,
    group_normalize_grad,
    move_running,
    normalize,
    normalize_grad,
    scale_shift,
)
from minidl.kernels.optim import adam, sgd
from minidl.kernels.pool import (
    avg_pool2d,
    avg_pool2d_grad,
    max_pool2d,
    max_pool2d_gather,
    max_pool2d_scatter,
)
from minidl.kernels.quantized import dequantize, quantize, quantized_conv2d, quantized_linear
from minidl.kernels.random import philox
from minidl.kernels.reduce import reduce_max, reduce_mean, reduce_min, reduce_sum
from minidl.kernels.registry import Kernel, active_sets, kernels, table, use_kernels
from minidl.kernels.softmax import (
    cross_entropy,
    cross_entropy_grad,
    first_wrong_label,
    log_softmax,
    log_softmax_grad,
    softmax,
    softmax_grad,
    weighted_mean,
)
from minidl.kernels.special import erf

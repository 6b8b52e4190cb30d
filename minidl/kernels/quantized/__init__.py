"""Layers that compute with 8-bit integers, and the way there and back."""

from minidl.kernels.quantized import cpu, cuda, reference
from minidl.kernels.registry import Kernel

quantize = Kernel("quantize", numpy=reference.quantize)
dequantize = Kernel("dequantize", numpy=reference.dequantize)
quantized_conv2d = Kernel(
    "quantized_conv2d",
    numpy=reference.quantized_conv2d,
    numba=cpu.quantized_conv2d,
    cuda=cuda.quantized_conv2d,
)
quantized_linear = Kernel(
    "quantized_linear",
    numpy=reference.quantized_linear,
    numba=cpu.quantized_linear,
    cuda=cuda.quantized_linear,
)

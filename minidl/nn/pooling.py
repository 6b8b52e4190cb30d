"""Pooling layers."""

from __future__ import annotations

from typing import Any

from minidl import ops
from minidl.nn.module import Module
from minidl.tensor import Tensor

Size = int | tuple[int, int]


class MaxPool2d(Module):
    """The largest element of each window: (N, C, H, W) -> (N, C, H_out, W_out).

    Parameters
    ----------
    kernel_size, stride, padding, dilation : int or (int, int)
        Of the windows; the stride is by default the kernel size.
    return_indices : bool
        Whether to return the positions of the maxima (in the flat plane) as well.
    ceil_mode : bool
        Whether a window may hang over the end.
    """

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        dilation: Size = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ):
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Any:
        return ops.max_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class AvgPool2d(Module):
    """The mean of each window: (N, C, H, W) -> (N, C, H_out, W_out).

    Parameters
    ----------
    kernel_size, stride, padding : int or (int, int)
        Of the windows; the stride is by default the kernel size.
    ceil_mode : bool
        Whether a window may hang over the end.
    count_include_pad : bool
        Whether the padding's zeros count as elements.
    divisor_override : int, optional
        What to divide the sums by, in the place of the number of elements.
    """

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ):
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        return ops.avg_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AdaptiveAvgPool2d(Module):
    """Means of windows that yield ``output_size``: (N, C, H, W) -> (N, C, *output_size).

    ``output_size`` is one number for both dimensions or two; None keeps a size.
    """

    def __init__(self, output_size: Any):
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        return ops.adaptive_avg_pool2d(input, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"

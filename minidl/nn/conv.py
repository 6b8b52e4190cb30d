"""Convolutional layers."""

from __future__ import annotations

from typing import Any

from minidl import ops
from minidl.nn import init
from minidl.nn.module import Module
from minidl.nn.parameter import new_parameter
from minidl.tensor import Tensor

_MODES = ("zeros", "reflect", "replicate", "circular")

Size = int | tuple[int, ...]


def _sizes(value: Any, dims: int, name: str) -> tuple[int, ...]:
    """``value`` for each of ``dims`` dimensions."""
    sizes = (value,) * dims if isinstance(value, int) else tuple(value)
    if len(sizes) != dims:
        raise ValueError(f"{name} is an integer or {dims} of them, got {value!r}")
    return sizes


class _Conv(Module):
    """What convolutions share; ``weight`` and ``bias`` start uniform within 1 / sqrt(fan_in)."""

    dims: int
    transposed = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        _check_channels(in_channels, out_channels, groups)
        if padding_mode not in _MODES:
            raise ValueError(f"padding_mode is one of {', '.join(_MODES)}, got {padding_mode!r}")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = _sizes(kernel_size, self.dims, "kernel_size")
        self.stride = _sizes(stride, self.dims, "stride")
        self.dilation = _sizes(dilation, self.dims, "dilation")
        self.padding = self._checked_padding(padding)
        self.groups = groups
        self.padding_mode = padding_mode
        first, second = out_channels, in_channels
        if self.transposed:
            first, second = second, first
        shape = (first, second // groups, *self.kernel_size)
        self.weight = new_parameter(*shape, device=device, dtype=dtype)
        made = new_parameter(out_channels, device=device, dtype=dtype) if bias else None
        self.register_parameter("bias", made)
        self.reset_parameters()

    def _checked_padding(self, padding: Size | str) -> tuple[int, ...] | str:
        if not isinstance(padding, str):
            return _sizes(padding, self.dims, "padding")
        if padding not in ("same", "valid"):
            raise ValueError(f'padding is a number, "same" or "valid", got {padding!r}')
        if padding == "same" and any(s != 1 for s in self.stride):
            raise ValueError(f'padding="same" needs a stride of 1, got {self.stride}')
        return padding

    def reset_parameters(self) -> None:
        """Draw the initial values anew."""
        init.default_(self.weight, self.bias)

    def _convolved(self, convolution: Any, input: Tensor, weight: Tensor) -> Tensor:
        padding = self.padding
        if self.padding_mode != "zeros":
            input = ops.pad(input, self._padding_at_ends(), mode=self.padding_mode)
            padding = 0
        return convolution(
            input, weight, self.bias, self.stride, padding, self.dilation, self.groups
        )

    def _padding_at_ends(self) -> list[int]:
        """Before and after each dimension, the last dimension first, as `minidl.pad` takes it."""
        if self.padding == "valid":
            ends = [(0, 0)] * self.dims
        elif self.padding == "same":  # an odd number leaves its extra element to the end
            totals = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size)]
            ends = [(total // 2, total - total // 2) for total in totals]
        else:
            ends = [(p, p) for p in self.padding]
        return [size for pair in reversed(ends) for size in pair]

    def extra_repr(self) -> str:
        defaults = {
            "padding": (0,) * self.dims,
            "dilation": (1,) * self.dims,
            "output_padding": (0,) * self.dims,
            "groups": 1,
        }
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"
        text += f", stride={self.stride}"
        for name, default in defaults.items():
            value = getattr(self, name, default)
            text += f", {name}={value}" if value != default else ""
        text += ", bias=False" if self.bias is None else ""
        text += f", padding_mode={self.padding_mode}" if self.padding_mode != "zeros" else ""
        return text


def _check_channels(in_channels: int, out_channels: int, groups: int) -> None:
    if groups < 1:
        raise ValueError(f"groups must be a positive number, got {groups}")
    if in_channels % groups or out_channels % groups:
        raise ValueError(
            f"{groups} groups do not divide {in_channels} input and {out_channels} output channels"
        )


class Conv1d(_Conv):
    """Correlation of signals with learnt filters: (N, C_in, L) -> (N, C_out, L_out).

    Parameters are those of `Conv2d`, with one number in the place of two.
    """

    dims = 1

    def forward(self, input: Tensor) -> Tensor:
        return self._convolved(ops.conv1d, input, self.weight)


class Conv2d(_Conv):
    """Correlation of pictures with learnt filters: (N, C_in, H, W) -> (N, C_out, H_out, W_out).

    ``H_out = floor((H + 2 padding - dilation (kernel_size - 1) - 1) / stride + 1)``.

    Parameters
    ----------
    in_channels, out_channels : int
        C_in and C_out.
    kernel_size, stride, padding, dilation : int or (int, int)
        For both dimensions, or height and width. ``padding`` may be ``"valid"`` (none) or
        ``"same"`` (the result is as large as the input).
    groups : int
        Into how many separate convolutions the channels fall.
    bias : bool
        Whether a learnt number is added to each output channel.
    padding_mode : {"zeros", "reflect", "replicate", "circular"}
        What the padding holds.

    Attributes
    ----------
    weight, bias : Parameter
        Of shapes (C_out, C_in / groups, kernel height, kernel width) and (C_out,).
    """

    dims = 2

    def forward(self, input: Tensor) -> Tensor:
        return self._convolved(ops.conv2d, input, self.weight)


class ConvTranspose2d(_Conv):
    """The transpose of a `Conv2d` as a linear map, which enlarges a picture instead.

    (N, C_in, H, W) -> (N, C_out, H_out, W_out), where ``H_out = (H - 1) stride - 2 padding
    + dilation (kernel_size - 1) + output_padding + 1``. Its weight has the shape
    (C_in, C_out / groups, kernel height, kernel width).
    """

    dims = 2
    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Size = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ):
        if padding_mode != "zeros":
            raise ValueError(f'ConvTranspose2d pads with "zeros" alone, got {padding_mode!r}')
        if isinstance(padding, str):
            raise ValueError(f"ConvTranspose2d wants numbers as padding, got {padding!r}")
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            bias,
            device=device,
            dtype=dtype,
        )
        self.output_padding = _sizes(output_padding, self.dims, "output_padding")

    def forward(self, input: Tensor) -> Tensor:
        return ops.conv_transpose2d(
            input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.output_padding,
            self.groups,
            self.dilation,
        )

"""Normalization layers: over the batch, over features, over groups of channels."""

from __future__ import annotations

from typing import Any

from minidl import ops
from minidl.backend import int64
from minidl.nn import init
from minidl.nn.module import Module
from minidl.nn.parameter import Parameter, new_parameter
from minidl.tensor import Tensor


def _affine(module: Module, size: Any, affine: bool, bias: bool, device: Any, dtype: Any) -> None:
    """Give ``module`` a weight and a bias, or just the names."""

    def made(wanted: bool) -> Parameter | None:
        return new_parameter(size, device=device, dtype=dtype) if wanted else None

    module.register_parameter("weight", made(affine))
    module.register_parameter("bias", made(affine and bias))


def _reset_affine(module: Module) -> None:
    if module.weight is not None:
        init.ones_(module.weight)
    if module.bias is not None:
        init.zeros_(module.bias)


class _BatchNorm(Module):
    """``y = (x - mean) / sqrt(var + eps) * weight + bias``, per channel.

    In training mode with the batch's mean and (biased) variance, of which running averages
    are kept; in evaluation mode with those averages.

    Parameters
    ----------
    num_features : int
        The number of channels C.
    eps : float
        Added to the variance.
    momentum : float or None
        The weight of a new batch in the running averages; None for the plain mean of all.
    affine, bias : bool
        Whether there is a learnt weight and bias per channel; the bias alone can go.
    track_running_stats : bool
        Without, the batch's own statistics are used in evaluation mode as well.

    Attributes
    ----------
    running_mean, running_var, num_batches_tracked : Tensor
        Buffers of shapes (C,), (C,) and ().

    Source: S. Ioffe, C. Szegedy, "Batch normalization", 2015, https://arxiv.org/abs/1502.03167
    """

    dims: tuple[int, ...]

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ):
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        _affine(self, num_features, affine, bias, device, dtype)
        place = {"device": device or "cpu", "dtype": dtype}
        count = ops.zeros((), device=device or "cpu", dtype=int64)
        tracked = {
            "running_mean": ops.zeros(num_features, **place),
            "running_var": ops.ones(num_features, **place),
            "num_batches_tracked": count,
        }
        for name, buffer in tracked.items():
            self.register_buffer(name, buffer if track_running_stats else None)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forget the batches seen so far."""
        if self.track_running_stats:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Set weight and bias to 1 and 0, and forget the batches seen so far."""
        self.reset_running_stats()
        _reset_affine(self)

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim not in self.dims:
            raise ValueError(
                f"{type(self).__name__} wants {' or '.join(map(str, self.dims))} dimensions, "
                f"got shape {input.shape}"
            )
        tracked = self.running_mean is not None
        if not (self.training and tracked):
            training = self.training or not tracked
            return self._normalized(input, training, momentum=0.0)
        self.num_batches_tracked.add_(1)
        momentum = self.momentum
        if momentum is None:
            momentum = 1.0 / self.num_batches_tracked.item()
        return self._normalized(input, True, momentum)

    def _normalized(self, input: Tensor, training: bool, momentum: float) -> Tensor:
        return ops.batch_norm(
            input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            training,
            momentum,
            self.eps,
        )

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, bias={self.bias is not None}, "
            f"track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(_BatchNorm):
    __doc__ = f"""Batch normalization of (N, C) or (N, C, L).

    {_BatchNorm.__doc__}"""

    dims = (2, 3)


class BatchNorm2d(_BatchNorm):
    __doc__ = f"""Batch normalization of (N, C, H, W).

    {_BatchNorm.__doc__}"""

    dims = (4,)


class LayerNorm(Module):
    """``y = (x - mean) / sqrt(var + eps) * weight + bias`` over the last dimensions.

    Parameters
    ----------
    normalized_shape : int or tuple of int
        The sizes of the dimensions that each mean is taken over.
    eps : float
        Added to the (biased) variance.
    elementwise_affine, bias : bool
        Whether there is a learnt weight and bias of that shape; the bias alone can go.

    Source: J. Ba et al., "Layer normalization", 2016, https://arxiv.org/abs/1607.06450
    """

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        single = isinstance(normalized_shape, int)
        self.normalized_shape = (normalized_shape,) if single else tuple(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        _affine(self, self.normalized_shape, elementwise_affine, bias, device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set weight and bias to 1 and 0."""
        _reset_affine(self)

    def forward(self, input: Tensor) -> Tensor:
        return ops.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, "
            f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        )


class GroupNorm(Module):
    """``y = (x - mean) / sqrt(var + eps) * weight + bias`` per picture and group of channels.

    Parameters
    ----------
    num_groups, num_channels : int
        Into how many groups how many channels fall.
    eps : float
        Added to the (biased) variance.
    affine, bias : bool
        Whether there is a learnt weight and bias per channel; the bias alone can go.

    Source: Y. Wu, K. He, "Group normalization", 2018, https://arxiv.org/abs/1803.08494
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ):
        super().__init__()
        if num_groups < 1 or num_channels % num_groups:
            raise ValueError(f"{num_groups} groups do not divide {num_channels} channels")
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        _affine(self, num_channels, affine, bias, device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set weight and bias to 1 and 0."""
        _reset_affine(self)

    def forward(self, input: Tensor) -> Tensor:
        return ops.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, "
            f"affine={self.affine}, bias={self.bias is not None}"
        )

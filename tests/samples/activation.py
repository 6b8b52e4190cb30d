"""Samples of activation functions."""

from hypothesis import assume
from hypothesis import strategies as st

import minidl
from minidl.ops.activation import _softplus
from minidl.testing.samples import Sample, samples
from minidl.testing.strategies import arrays, shapes


@samples(minidl.relu)
@samples(minidl.sigmoid)
@samples(minidl.silu)
@samples(_softplus, torch="nn.functional.softplus")
def _(draw):
    return Sample(draw(arrays(shapes())))


@samples(minidl.leaky_relu)
@samples(minidl.elu)
def _(draw):
    return Sample(draw(arrays(shapes())), draw(st.sampled_from([0.01, 0.5, 1.0])))


@samples(minidl.gelu)
def _(draw):
    return Sample(draw(arrays(shapes())), approximate=draw(st.sampled_from(["none", "tanh"])))


@samples(minidl.softplus)
def _(draw):
    """On both sides of the threshold, where the function has a tiny jump."""
    threshold = draw(st.sampled_from([20.0, 2.0]))
    x = draw(arrays(shapes(), away_from=(1.0,)))
    return Sample(x, draw(st.sampled_from([1.0, 2.0])) if threshold == 20 else 2.0, threshold)


@samples(minidl.bias_activation, torch=None)
def _(draw):
    shape = draw(shapes(min_dims=1, min_side=1))
    dim = draw(st.integers(-len(shape), len(shape) - 1))
    name, parameters = draw(
        st.sampled_from(
            [("relu", ()), ("tanh", ()), ("leaky_relu", (0.1,)), ("elu", (0.5,))]
            + [("sigmoid", ()), ("silu", ()), ("gelu", ()), ("gelu_tanh", ())]
            + [("softplus", (1.5, 20.0))]
        )
    )
    x, bias = draw(arrays(shape)), draw(arrays((shape[dim],)))
    total = x + bias.reshape((-1,) + (1,) * (-(dim if dim < 0 else dim - len(shape)) - 1))
    assume((abs(total) > 1e-3).all())  # the kinks
    return Sample(x, bias, name, *parameters, dim=dim)

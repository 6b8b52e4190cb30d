"""Samples of activation functions."""

from hypothesis import strategies as st

import minidl
from minidl.testing.samples import Sample, samples
from minidl.testing.strategies import arrays, shapes


@samples(minidl.relu)
@samples(minidl.sigmoid)
@samples(minidl.silu)
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

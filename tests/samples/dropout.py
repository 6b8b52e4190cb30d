"""Samples of dropout; the suite has it draw the same numbers at every call."""

from hypothesis import strategies as st

import minidl
from minidl.ops.dropout import masked_scale
from minidl.testing.samples import Sample, samples
from minidl.testing.strategies import arrays, boolean_arrays, shapes


@samples(minidl.dropout, torch=None)
def _(draw):
    p = draw(st.sampled_from([0.0, 0.3, 1.0]))
    return Sample(draw(arrays(shapes())), p, draw(st.booleans()))


@samples(masked_scale, torch=lambda x, kept, scale: x * kept * scale)
def _(draw):
    shape = draw(shapes())
    return Sample(draw(arrays(shape)), draw(boolean_arrays(shape)), draw(st.floats(0, 3)))

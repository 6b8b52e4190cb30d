"""Samples of dropout; the suite has it draw the same numbers at every call."""

from hypothesis import strategies as st

import minidl
from minidl.testing.samples import Sample, samples
from minidl.testing.strategies import arrays, shapes


@samples(minidl.dropout, torch=None)
def _(draw):
    p = draw(st.sampled_from([0.0, 0.3, 1.0]))
    return Sample(draw(arrays(shapes())), p, draw(st.booleans()))

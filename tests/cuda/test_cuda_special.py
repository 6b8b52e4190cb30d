"""Special functions on a device."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from on_device import assert_agrees

from minidl.kernels import erf
from minidl.kernels.cuda import FLOATING


@given(st.sampled_from(FLOATING), st.integers(0, 1500))
def test_erf(place, dtype, size):
    x = np.linspace(-6, 6, size).astype(dtype)
    assert_agrees(place, erf, x)
    assert_agrees(place, erf, x[::-2])


def test_erf_of_special_values(place):
    assert_agrees(place, erf, np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-30], np.float32))
    assert_agrees(place, erf, np.array(0.5))

"""Halves are rounded once, also where a float on the way would round a first time."""

import numpy as np
import pytest
from emulated import launch

from minidl import emulator

pytestmark = pytest.mark.skipif(
    not emulator.is_available(), reason="the emulator needs g++ or clang++"
)

CODE = """
extern "C" __global__ void rounded(const double* x, __half* y) {
    y[threadIdx.x] = __double2half(x[threadIdx.x]);
}
extern "C" __global__ void fused(const __half* abc, __half* y) {
    y[0] = __hfma(abc[0], abc[1], abc[2]);
}"""


def test_doubles_beside_the_middle_of_two_halves():
    halves = np.array([1, 1.5, 1000, 6e-5, 3e-7, 65504], np.float16)
    middles = (halves.astype(float) + np.nextafter(halves, np.float16(0)).astype(float)) / 2
    x = np.concatenate([middles * (1 + step) for step in (-(2**-45), 0, 2**-45)])
    x = np.concatenate([x, -x])
    y = np.zeros(x.shape, np.float16)
    launch(CODE, "rounded", 1, x.size, x, y)
    np.testing.assert_array_equal(y.view(np.uint16), x.astype(np.float16).view(np.uint16))


def test_a_fused_sum_beside_the_middle_of_two_halves():
    # the product is 2**-11 - 2**-31: a float would put the sum on the middle, and then round up
    abc = np.array([1 + 2**-10, 2**-11 - 2**-21, 1 + 2**-10], np.float16)
    assert np.float16(np.float32(float(abc[0]) * float(abc[1]) + float(abc[2]))) == 1 + 2**-9
    y = np.zeros(1, np.float16)
    launch(CODE, "fused", 1, 1, abc, y)
    assert y[0] == 1 + 2**-10

"""The emulator's tensor cores find the mistakes that are made with real ones."""

import numpy as np
import pytest

from minidl import backend, emulator
from minidl.backend import to_device, to_host
from minidl.kernels.cuda import Source, sources

pytestmark = pytest.mark.skipif(
    not emulator.is_available(), reason="the emulator needs g++ or clang++"
)

_source = Source(__file__, "mma.cu", [])
del sources["emulator/mma.cu"]  # it is no kernel of the package


def product(order="forward", **bug):
    """The product of two matrices by the kernel with this bug, and the right one."""
    a, b = np.random.default_rng(0).standard_normal((2, 16, 16)).astype(np.float16)
    args = [to_device(x, backend.EMULATOR) for x in (a, b, np.zeros((16, 16), np.float32))]
    with emulator.checked(order=order):
        _source.kernel("product", args[2], **bug)((1,), (32,), tuple(args))
    return to_host(args[2]), a.astype(np.float32) @ b.T.astype(np.float32)


@pytest.mark.parametrize("order", ["forward", "reverse", "random"])
def test_without_a_bug_the_product_is_right(order):
    found, expected = product(order)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("bug", ["SWAPPED_A", "SWAPPED_B"])
def test_swapped_fragments_give_wrong_numbers(bug):
    found, expected = product(**{bug: 1})
    assert not np.isnan(found).any()
    assert np.abs(found - expected).max() > 0.1


def test_what_is_not_waited_for_is_nan():
    found, _ = product(STILL_COMING=1)
    assert np.isnan(found).all()


@pytest.mark.parametrize("bug", ["NO_BARRIER", "REUSED", "HALF_A_WARP"])
@pytest.mark.parametrize("order", ["forward", "reverse", "random"])
def test_what_lanes_do_out_of_step_is_an_error(bug, order):
    with pytest.raises(emulator.EmulatorError):
        product(order, **{bug: 1})

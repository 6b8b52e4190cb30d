"""The emulator computes what the language says: numbers, atomics, warps, types of memory."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from minidl import emulator
from minidl.emulator.checking import state

pytestmark = pytest.mark.skipif(
    not emulator.is_available(), reason="the emulator needs g++ or clang++"
)

SOURCE = Path(__file__).with_name("language.cu")
TEMPLATES = ("scaled<float, 3>", "scaled<int, 5>")


@pytest.fixture(scope="module")
def module():
    return emulator.RawModule(path=str(SOURCE), name_expressions=TEMPLATES)


@pytest.fixture(autouse=True)
def _checked():
    with emulator.checked():
        yield


def line_of(bug):
    """The number of the line that is marked with this bug."""
    lines = SOURCE.read_text().splitlines()
    (number,) = (i for i, line in enumerate(lines, 1) if line.endswith(f"// BUG: {bug}"))
    return number


# --------------------------------------------------------------------------- half precision

HALVES = arrays(np.uint16, (3, 64)).map(lambda bits: bits.view(np.float16))


def assert_same_bits(found, expected):
    """Equal bit for bit; one NaN is as good as another."""
    both_nan = np.isnan(found) & np.isnan(expected)
    integer = f"u{found.itemsize}"
    np.testing.assert_array_equal(
        np.where(both_nan, 0, found.view(integer)), np.where(both_nan, 0, expected.view(integer))
    )


def exact_fma(a, b, c):
    # products of halves, and sums with another, fit the 64 bits of a long double's fraction
    return (a.astype(np.longdouble) * b + c).astype(np.float16)


@given(abc=HALVES)
def test_half_arithmetic_is_numpys_bit_for_bit(module, abc):
    a, b, c = (np.ascontiguousarray(x) for x in abc)
    out = np.empty((6, a.size), np.float16)
    module.get_function("half_arithmetic")((2,), (32,), (out, a, b, c, np.int32(a.size)))
    with np.errstate(all="ignore"):  # infinities and NaN are meant
        expected = a + b, a - b, a * b, a / b, exact_fma(a, b, c), np.abs(a)
    for ours, theirs in zip(out, expected, strict=True):
        assert_same_bits(ours, theirs)


@given(numbers=arrays(np.float32, 64, elements=st.floats(width=32)), data=st.data())
def test_conversion_to_half_rounds_once(module, numbers, data):
    doubles = data.draw(arrays(np.float64, 64, elements=st.floats(-7e4, 7e4)))
    narrow, from_double = np.empty((2, 64), np.float16)
    wide = np.empty(64, np.float32)
    args = narrow, from_double, wide, numbers, doubles, np.int32(64)
    module.get_function("converted")((2,), (32,), args)
    with np.errstate(all="ignore"):
        assert_same_bits(narrow, numbers.astype(np.float16))
        assert_same_bits(from_double, doubles.astype(np.float16))
        assert_same_bits(wide, numbers.astype(np.float16).astype(np.float32))


def test_every_half_survives_the_way_to_float_and_back(module):
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    with np.errstate(invalid="ignore"):  # signalling NaN
        numbers, doubles = halves.astype(np.float32), halves.astype(np.float64)
    narrow, from_double = np.empty((2, halves.size), np.float16)
    wide = np.empty(halves.size, np.float32)
    args = narrow, from_double, wide, numbers, doubles, np.int32(halves.size)
    module.get_function("converted")((halves.size // 256,), (256,), args)
    assert_same_bits(narrow, halves)
    assert_same_bits(from_double, halves)
    assert_same_bits(wide, numbers)


def test_half2(module):
    a, b = np.random.default_rng(0).standard_normal((2, 8, 2)).astype(np.float16)
    out = np.empty((8, 4, 2), np.float16)
    module.get_function("half2_arithmetic")((1,), (8,), (out, a.copy(), b.copy()))
    assert_same_bits(out[:, 0], a + b)
    assert_same_bits(out[:, 1], exact_fma(a, b, a + b))
    assert_same_bits(out[:, 2], np.stack([a[:, 1], b[:, 0]], 1))
    assert_same_bits(out[:, 3], a + b)


# --------------------------------------------------------------------------- threads together


@pytest.mark.parametrize("order", ["forward", "reverse", "random"])
def test_atomics(module, order):
    total, most, bits = np.zeros(1, np.float32), np.zeros(1, np.int32), np.zeros(1, np.uint32)
    least, halves, by_cas = np.zeros(1, np.int32), np.zeros(1, np.float16), np.zeros(1, np.int32)
    seen = np.empty(256, np.int32)
    with emulator.checked(order):
        module.get_function("atomics")(
            (4,), (64,), (total, most, least, bits, halves, by_cas, seen)
        )
    found = [int(x[0]) for x in (total, most, least, bits, halves, by_cas)]
    assert found == [128, 255, -255, 2**32 - 1, 256, 768]
    assert sorted(seen) == list(range(0, 768, 3))


@given(predicates=arrays(np.int32, 32, elements=st.sampled_from([0, 0, 1, 2, -1])))
def test_votes(module, predicates):
    out = np.empty((7, 32), np.uint32)
    module.get_function("votes")((1,), (32,), (out, predicates))
    true = [bool(p) for p in predicates]
    ballot = sum(p << lane for lane, p in enumerate(true))
    assert (out[0] == ballot).all()
    assert (out[1] == any(true)).all()
    assert (out[2] == all(true)).all()
    assert (out[3, 1::2] == ballot & 0xAAAAAAAA).all()
    assert (out[3, ::2] == ~ballot & 0x55555555).all()
    assert (out[4] == sum(true)).all()
    assert (out[5] == any(true)).all()
    assert (out[6] == all(true)).all()


@given(width=st.sampled_from([2, 4, 8, 16, 32]), by=st.integers(0, 31))
def test_shuffles_in_segments(module, width, by):
    out = np.empty((4, 32))
    module.get_function("shuffles")((1,), (32,), (out, np.int32(width), np.int32(by)))
    lane = np.arange(32)
    first = lane // width * width
    last = first + width - 1
    np.testing.assert_array_equal(out[0], first + by % width)
    np.testing.assert_array_equal(out[1], np.where(lane - by >= first, lane - by, lane))
    np.testing.assert_array_equal(out[2], np.where(lane + by <= last, lane + by, lane))
    np.testing.assert_array_equal(out[3], np.where(lane ^ by <= last, lane ^ by, lane))


# --------------------------------------------------------------------------- types and memory


def test_vector_loads(module):
    a = np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32)
    b = np.arange(32, dtype=np.int32).reshape(8, 4)
    sums, backwards = np.empty_like(a), np.empty_like(b)
    module.get_function("vectors")((1,), (8,), (sums, backwards, a, b))
    np.testing.assert_allclose(sums, a.cumsum(1), rtol=1e-6)
    np.testing.assert_array_equal(backwards, b[:, ::-1])


@given(ab=arrays(np.uint32, (2, 32)))
def test_bit_functions(module, ab):
    a, b = (np.ascontiguousarray(x) for x in ab)
    out = np.empty((8, 32), np.uint32)
    module.get_function("bit_functions")((1,), (32,), (out, a, b, np.int32(32)))
    for i, (x, y) in enumerate(zip(a.tolist(), b.tolist())):
        binary = f"{x:032b}"
        assert out[:, i].tolist() == [
            x * y >> 32,
            binary.count("1"),
            32 - x.bit_length(),
            binary[::-1].find("1") + 1,
            int(binary[::-1], 2),
            x & 0x7F7FFFFF,
            ((y << 32 | x) << 5 >> 32) & 0xFFFFFFFF,
            x & 0xFF | (x >> 16 & 0xFF) << 8 | (y & 0xFF) << 16 | (y >> 16 & 0xFF) << 24,
        ]


def test_constant_memory(module):
    out = np.empty(8, np.float32)
    module.get_function("constants")((1,), (8,), (out,))
    assert out.tolist() == [1, 10, 100, 1000] * 2


def test_templates_by_their_name_expressions(module):
    numbers, integers = np.arange(4, dtype=np.float32), np.arange(4, dtype=np.int32)
    module.get_function(TEMPLATES[0])((1,), (4,), (numbers,))
    module.get_function(TEMPLATES[1])((1,), (4,), (integers,))
    assert numbers.tolist() == [0, 3, 6, 9]
    assert integers.tolist() == [0, 5, 10, 15]


LINE = np.dtype(
    [("slope", "u8"), ("offset", "f4"), ("first", "i2"), ("last", "i2"), ("out", "u8")],
    align=True,
)


def line(slope, out):
    return np.array((emulator.address(slope), 0.5, 1, 6, emulator.address(out)), LINE)


def test_a_structure_by_value_with_addresses_in_it(module):
    slope, out = np.full(1, 2, np.float32), np.zeros(7)
    module.get_function("structure")((1,), (8,), (line(slope, out), np.int32(0)))
    assert out.tolist() == [0, 2.5, 4.5, 6.5, 8.5, 10.5, 12.5]


def test_an_address_in_a_structure_has_bounds(module):
    slope, out = np.full(1, 2, np.float32), np.zeros(7)
    message = r"8 bytes past the end of an array of float64\[7\] given by its address"
    with pytest.raises(emulator.OutOfBounds, match=message):
        module.get_function("structure")((1,), (8,), (line(slope, out), np.int32(1)))


def test_an_address_in_a_structure_may_be_read_only(module):
    slope, out = np.full(1, 2, np.float32), np.zeros(7)
    out.flags.writeable = False
    with pytest.raises(emulator.ReadOnly, match=r"element \[1\], which is read-only"):
        module.get_function("structure")((1,), (8,), (line(slope, out), np.int32(0)))


@pytest.mark.parametrize(
    "kernel, values, threads",
    [
        ("reversed_doubles", np.arange(9.0), 9),
        ("reversed_bytes", np.arange(33, dtype=np.int8), 33),
        ("reversed_vectors", np.arange(20, dtype=np.float32).reshape(5, 4), 5),
    ],
)
def test_dynamic_shared_memory_of_any_type(module, kernel, values, threads):
    out = np.zeros_like(values)
    run = module.get_function(kernel)
    run((1,), (threads,), (out, values), shared_mem=values.nbytes)
    np.testing.assert_array_equal(out, values[::-1])
    with pytest.raises(emulator.OutOfBounds, match="past the end of dynamic shared memory"):
        run((1,), (threads,), (out, values), shared_mem=values.nbytes - 1)


def test_launch_bounds_and_unrolling(module, capfd):
    out = np.empty(64, np.int32)
    kernel = module.get_function("bounded")
    kernel((1,), (64,), (out,))
    assert (out == 12).all()
    with pytest.raises(emulator.LaunchError, match="65 threads; 64 are possible"):
        kernel((1,), (65,), (np.empty(65, np.int32),))
    assert "warning" not in capfd.readouterr().err


@pytest.mark.parametrize("checked", [True, False])
@pytest.mark.parametrize(
    "kernel, args, error, bug, message",
    [
        (
            "asserted",
            (np.array([1, 0, -1, 2], np.int32), np.int32(4)),
            emulator.AssertionFailed,
            "NEGATIVE",
            "thread (2, 0, 0): assertion `i >= n || values[i] >= 0` failed",
        ),
        (
            "divided",
            (np.empty(4, np.int32), np.int32(0)),
            emulator.InvalidArithmetic,
            "DIVISION",
            "division by zero",
        ),
    ],
    ids=["assertion", "division"],
)
def test_errors_that_are_found_in_both_modes(
    module, kernel, args, error, bug, message, checked, monkeypatch
):
    monkeypatch.setattr(state, "checked", checked)
    with pytest.raises(error, match=re.escape(message)) as caught:
        module.get_function(kernel)((1,), (4,), args)
    assert (caught.value.file, caught.value.line) == ("language.cu", line_of(bug))

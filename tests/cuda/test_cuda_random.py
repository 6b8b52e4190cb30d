"""Random bits on a device: the same as everywhere."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minidl.backend import to_device, to_host
from minidl.kernels import philox

U64 = st.integers(0, 2**64 - 1)


def filled(place, shape, *numbers):
    words = to_device(np.zeros(shape, np.uint32), place)
    philox(words, *numbers)
    return to_host(words)


def expected(shape, *numbers):
    words = np.empty(shape, np.uint32)
    philox.reference(words, *numbers)
    return words


@given(U64, U64, U64, st.integers(0, 700))
def test_bits(place, key, counter, domain, blocks):
    found = filled(place, (blocks, 4), key, counter, domain)
    np.testing.assert_array_equal(found, expected((blocks, 4), key, counter, domain))


def test_known_answer(place):
    """Random123 1.14, tests/kat_vectors, "philox4x32 10"."""
    words = filled(place, (1, 4), 0x299F31D0A4093822, 0x85A308D3243F6A88, 0x0370734413198A2E)
    assert " ".join(f"{word:08x}" for word in words[0]) == "d16cfe09 94fdcceb 5001e420 24126ea1"


def test_counter_wraps_around_without_a_carry(place):
    numbers = 3, 2**64 - 2, 2**64 - 1
    np.testing.assert_array_equal(filled(place, (5, 4), *numbers), expected((5, 4), *numbers))


def test_fills_slices_in_place(place):
    words = to_device(np.zeros((6, 9), np.uint32), place)
    philox(words[1:4, 2:6], 1, 2, 3)
    philox(words.reshape(-1)[45:53].reshape(2, 4), 4, 5, 6)  # at no multiple of 16 bytes
    found = np.zeros((6, 9), np.uint32)
    found[1:4, 2:6] = expected((3, 4), 1, 2, 3)
    found.reshape(-1)[45:53] = expected((2, 4), 4, 5, 6).reshape(-1)
    np.testing.assert_array_equal(to_host(words), found)

"""The emulator passes right kernels and finds what is wrong with wrong ones, where it is."""

import re
from pathlib import Path

import numpy as np
import pytest

from minidl import emulator

pytestmark = pytest.mark.skipif(
    not emulator.is_available(), reason="the emulator needs g++ or clang++"
)

SOURCE = Path(__file__).with_name("kernels.cu")
ORDERS = ["forward", "reverse", "random"]


def run(name, grid, block, *args, bug=None, shared_mem=0):
    options = (f"-D{bug}",) if bug else ()
    module = emulator.RawModule(path=str(SOURCE), options=options)
    module.get_function(name)(grid, block, args, shared_mem=shared_mem)


def line_with(pattern):
    """The number of the only line where this is found."""
    lines = SOURCE.read_text().splitlines()
    (number,) = (i for i, line in enumerate(lines, 1) if re.search(pattern, line))
    return number


def line_of(bug):
    """The number of the line that is marked with this bug."""
    return line_with(rf"// BUG: .*\b{bug}\b")


def apart(array):
    """A copy, amid memory that the kernel is not given."""
    room = np.empty((3, *array.shape), array.dtype)
    room[1] = array
    return room[1]


def matmul(bug=None, n=13):
    a, b = map(apart, np.random.default_rng(n).standard_normal((2, n, n)).astype(np.float32))
    c = np.full((n, n), np.nan, np.float32)
    blocks = -(-n // 8)
    run("matmul", (blocks, blocks), (8, 8), c, a, b, np.int32(n), bug=bug)
    return c, a @ b


def block_sums(bug=None, n=300, threads=128):
    values = np.arange(n, dtype=np.float32)
    sums = np.full(-(-n // threads), np.nan, np.float32)
    shared = 4 * (threads // 32)
    run("block_sums", sums.shape, (threads,), sums, values, np.int32(n), bug=bug, shared_mem=shared)
    return sums, [values[i : i + threads].sum() for i in range(0, n, threads)]


def histogram(bug=None):
    values = np.random.default_rng(0).integers(0, 16, 200).astype(np.int32)
    counts, total = np.zeros(16, np.int32), np.zeros((), np.int32)
    run("histogram", (4,), (64,), counts, total, values, np.int32(200), bug=bug)
    return [*counts, total], [*np.bincount(values, minlength=16), 200]


def exchanged(bug=None):
    values, out = np.arange(64, dtype=np.float32), np.empty(64, np.float32)
    run("exchanged", (1,), (64,), out, values, bug=bug)
    return out, values[np.arange(64) ^ 3]


def swapped(bug=None):
    numbers = np.arange(64, dtype=np.float32)
    run("swapped", (1,), (64,), numbers, bug=bug)
    return numbers, np.arange(64) ^ 32


def spread(bug=None):
    numbers = np.arange(7, 72, dtype=np.float32)
    run("spread", (1,), (64,), numbers, bug=bug)
    return numbers, [0] + [7] * 32 + [40] + [7] * 31


def copied(bug=None):
    values, out = np.arange(80, dtype=np.float32), np.zeros(80, np.float32)
    run("copied", (1,), (32,), out, values, np.int32(20), bug=bug)
    return out, values


# --------------------------------------------------------------------------- without a bug

RIGHT = [matmul, block_sums, histogram, exchanged, swapped, spread, copied]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kernel", RIGHT)
def test_right_kernels_pass_in_every_order(kernel, order):
    with emulator.checked(order=order):
        found, expected = kernel()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kernel", RIGHT)
def test_right_kernels_are_right_without_checks(kernel):
    found, expected = kernel()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_right_kernels_pass_in_other_random_orders(seed):
    with emulator.checked(order="random", seed=seed):
        found, expected = matmul(n=17)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


# --------------------------------------------------------------------------- with a bug

BUGS = [
    (matmul, "NO_BARRIER", emulator.Race, "of shared variable tile_[ab].* no __syncthreads"),
    (matmul, "INDEX_SHIFTED", emulator.OutOfBounds, r"4 bytes past the end of argument 3"),
    (matmul, "NO_BOUNDS_TEST", emulator.OutOfBounds, r"past the end of argument 2"),
    (block_sums, "DIVERGENT_BARRIER", emulator.DivergentBarrier, "have left the kernel"),
    (block_sums, "TWO_BARRIERS", emulator.DivergentBarrier, "waits at one .* at another"),
    (block_sums, "EXITED_LANES", emulator.AbsentLane, "names lane 12, which has left the kernel"),
    (block_sums, "UNINITIALISED", emulator.UninitialisedRead, "dynamic shared memory, byte 4,"),
    (block_sums, "OVERRUN", emulator.OutOfBounds, "4 bytes past the end of dynamic shared memory"),
    (histogram, "NOT_ATOMIC", emulator.Race, "shared variable mine"),
    (histogram, "RACE_ACROSS_BLOCKS", emulator.Race, "no order among blocks"),
    (exchanged, "LEFT_OUT", emulator.UninitialisedRead, "shared variable numbers, byte 20,"),
    (exchanged, "NO_SYNCWARP", emulator.Race, "shared variable numbers"),
    (swapped, "WARPS_ONLY", emulator.Race, r"writes .* which thread .* read .* no __syncthreads"),
    (spread, "READERS_OF_TWO_WARPS", emulator.Race, "element .0.*, which .* read .* no __sync"),
    (copied, "MISALIGNED", emulator.Misaligned, "multiple of 16"),
]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kernel, bug, error, message", BUGS, ids=[bug[1] for bug in BUGS])
def test_every_bug_is_found_in_every_order(kernel, bug, error, message, order):
    with emulator.checked(order=order), pytest.raises(error, match=message) as caught:
        kernel(bug)
    assert type(caught.value) is error
    assert (caught.value.file, caught.value.line) == (SOURCE.name, line_of(bug))
    assert caught.value.kernel == kernel.__name__


def test_a_race_names_both_places_and_both_threads():
    with emulator.checked(), pytest.raises(emulator.Race) as caught:
        matmul("NO_BARRIER")
    text = str(caught.value)
    written = line_with(r"tile_a\[y\]\[x\] =")
    assert "block (0, 0, 0), thread (1, 0, 0): reads 4 bytes of shared variable tile_a" in text
    assert f"which thread (0, 0, 0) wrote at kernels.cu:{written} " in text


def test_a_race_across_blocks_names_both_blocks():
    with emulator.checked(), pytest.raises(emulator.Race, match=r"of block \(0, 0, 0\)") as caught:
        histogram("RACE_ACROSS_BLOCKS")
    assert caught.value.block == (1, 0, 0)


def test_a_shuffle_names_lanes_that_the_block_does_not_have():
    with emulator.checked(), pytest.raises(emulator.AbsentLane, match="does not have") as caught:
        block_sums(n=300, threads=48)
    assert caught.value.line == line_of("HALF_A_WARP")


def test_without_checks_uninitialised_shared_memory_is_nan():
    found, _ = block_sums("UNINITIALISED")
    assert np.isnan(found).all()
    found, _ = exchanged("LEFT_OUT")
    assert np.flatnonzero(np.isnan(found)).tolist() == [5 ^ 3]

"""What orders two accesses, and what does not."""

import numpy as np
import pytest
from emulated import launch

from minidl import emulator

pytestmark = pytest.mark.skipif(
    not emulator.is_available(), reason="the emulator needs g++ or clang++"
)

CODE = """
#define KERNEL(name, ...) \\
    extern "C" __global__ void name(unsigned char* x, int* y) { \\
        __shared__ int s[64]; \\
        int t = threadIdx.x; \\
        __VA_ARGS__ \\
    }
KERNEL(neighbouring_bytes, x[t] = x[t] + 1;)
KERNEL(same_byte, x[t / 2] = 1;)
KERNEL(all_atomic, atomicAdd(y, 1);)
KERNEL(atomic_then_plain, atomicAdd(y, 1); if (t == 0) y[1] = y[0];)
KERNEL(plain_then_atomic, if (t == 5) y[0] = 1; atomicAdd(y, 1);)
KERNEL(atomic_barrier_plain, atomicAdd(y, 1); __syncthreads(); if (t == 0) y[1] = y[0];)
KERNEL(all_read, s[t] = t; __syncthreads(); y[t] = s[0] + s[63];)
KERNEL(read_then_write, s[t] = t; __syncthreads(); y[t] = s[0]; if (t == 33) s[0] = 1;)
KERNEL(warp_barrier_of_all, s[t] = t; __syncwarp(); y[t] = s[t ^ 1];)
KERNEL(warp_barrier_of_pairs, s[t] = t; __syncwarp(3u << (t % 32 & ~1)); y[t] = s[t ^ 1];)
KERNEL(warp_barrier_of_others, s[t] = t; __syncwarp(3u << (t % 32 & ~1)); y[t] = s[t ^ 2];)
KERNEL(warp_barrier_by_way_of_another, s[t] = t; __syncwarp(3u << (t % 32 & ~1)); \\
       __syncwarp(1u << t % 32 | 1u << (t % 32 ^ 2)); y[t] = s[t ^ 3];)
KERNEL(other_warp, s[t] = t; __syncwarp(); y[t] = s[t ^ 32];)
KERNEL(shuffle_is_no_barrier, s[t] = t; __shfl_sync(0xffffffffu, t, 0); y[t] = s[t ^ 1];)
KERNEL(broadcast_then_write, s[t] = t; __syncwarp(); int v = s[t & 32]; __syncwarp(); \\
       if (t % 32 == 7) s[t & 32] = v;)
KERNEL(blocks_apart, y[blockIdx.x * 64 + t] = t;)
KERNEL(blocks_read_the_same, if (t == 0) y[1 + blockIdx.x] = y[0];)
KERNEL(block_reads_what_another_writes, if (t == 0) y[blockIdx.x] = y[0];)
KERNEL(blocks_meet_in_atomics, if (t == 0) { atomicMax(y, t); atomicExch(y + 1, t); })
"""
RACES = [
    "same_byte",
    "atomic_then_plain",
    "plain_then_atomic",
    "read_then_write",
    "warp_barrier_of_others",
    "other_warp",
    "shuffle_is_no_barrier",
    "block_reads_what_another_writes",
]
ORDERED = [
    "neighbouring_bytes",
    "all_atomic",
    "atomic_barrier_plain",
    "all_read",
    "warp_barrier_of_all",
    "warp_barrier_of_pairs",
    "warp_barrier_by_way_of_another",
    "broadcast_then_write",
    "blocks_apart",
    "blocks_read_the_same",
    "blocks_meet_in_atomics",
]


def run(name):
    blocks = 3 if name.startswith("block") else 1
    launch(CODE, name, blocks, 64, np.zeros(64, np.uint8), np.zeros(256, np.int32))


@pytest.mark.parametrize("order", ["forward", "reverse", "random"])
@pytest.mark.parametrize("name", RACES)
def test_races(name, order):
    errors = emulator.Race, emulator.UninitialisedRead  # as the order has it
    with emulator.checked(order=order), pytest.raises(errors):
        run(name)


@pytest.mark.parametrize("order", ["forward", "reverse", "random"])
@pytest.mark.parametrize("name", ORDERED)
def test_what_is_no_race(name, order):
    with emulator.checked(order=order):
        run(name)


def test_launches_are_ordered():
    y = np.zeros(256, np.int32)
    with emulator.checked():
        for _ in range(2):
            launch(CODE, "blocks_apart", 3, 64, np.zeros(64, np.uint8), y)
    np.testing.assert_array_equal(y[:192], np.tile(np.arange(64), 3))

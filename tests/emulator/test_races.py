"""What orders two accesses, and what does not."""

import re

import numpy as np
import pytest
from emulated import launch

from minidl import emulator

pytestmark = pytest.mark.skipif(
    not emulator.is_available(), reason="the emulator needs g++ or clang++"
)

CODE = """
#define ORDERED(name, ...) \\
    extern "C" __global__ void name(unsigned char* x, int* y) { \\
        __shared__ int s[64]; \\
        int t = threadIdx.x; \\
        __VA_ARGS__ \\
    }
#define RACE ORDERED
ORDERED(neighbouring_bytes, x[t] = x[t] + 1;)
RACE(same_byte, x[t / 2] = 1;)
ORDERED(all_atomic, atomicAdd(y, 1);)
RACE(atomic_then_plain, atomicAdd(y, 1); if (t == 0) y[1] = y[0];)
RACE(plain_then_atomic, if (t == 5) y[0] = 1; atomicAdd(y, 1);)
ORDERED(atomic_barrier_plain, atomicAdd(y, 1); __syncthreads(); if (t == 0) y[1] = y[0];)
ORDERED(all_read, s[t] = t; __syncthreads(); y[t] = s[0] + s[63];)
RACE(read_then_write, s[t] = t; __syncthreads(); y[t] = s[0]; if (t == 33) s[0] = 1;)
ORDERED(warp_barrier_of_all, s[t] = t; __syncwarp(); y[t] = s[t ^ 1];)
ORDERED(warp_barrier_of_pairs, s[t] = t; __syncwarp(3u << (t % 32 & ~1)); y[t] = s[t ^ 1];)
RACE(warp_barrier_of_others, s[t] = t; __syncwarp(3u << (t % 32 & ~1)); y[t] = s[t ^ 2];)
ORDERED(warp_barrier_by_way_of_another, s[t] = t; __syncwarp(3u << (t % 32 & ~1)); \\
       __syncwarp(1u << t % 32 | 1u << (t % 32 ^ 2)); y[t] = s[t ^ 3];)
RACE(other_warp, s[t] = t; __syncwarp(); y[t] = s[t ^ 32];)
RACE(after_a_warp_barrier, s[t] = t; __syncwarp(); s[t] = 1; y[t] = s[t ^ 1];)
RACE(two_lanes_read, s[t] = t; __syncthreads(); if (t == 0 || t == 5) y[t] = s[0]; \\
     if (t == 5) s[0] = 1;)
RACE(two_warps_read, s[t] = t; __syncthreads(); if (t == 0 || t == 33) y[t] = s[0]; \\
     if (t == 33) s[0] = 1;)
RACE(blocks_read_and_one_writes, if (t == 0) { y[blockIdx.x] = y[9]; \\
     if (blockIdx.x == 1) y[9] = 2; })
RACE(shuffle_is_no_barrier, s[t] = t; __shfl_sync(0xffffffffu, t, 0); y[t] = s[t ^ 1];)
ORDERED(broadcast_then_write, s[t] = t; __syncwarp(); int v = s[t & 32]; __syncwarp(); \\
       if (t % 32 == 7) s[t & 32] = v;)
ORDERED(blocks_apart, y[blockIdx.x * 64 + t] = t;)
ORDERED(blocks_read_the_same, if (t == 0) y[1 + blockIdx.x] = y[0];)
RACE(block_reads_what_another_writes, if (t == 0) y[blockIdx.x] = y[0];)
ORDERED(blocks_meet_in_atomics, if (t == 0) { atomicMax(y, t); atomicExch(y + 1, t); })
"""
RACES = re.findall(r"^RACE\((\w+)", CODE, re.MULTILINE)
NO_RACES = re.findall(r"^ORDERED\((\w+)", CODE, re.MULTILINE)


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
@pytest.mark.parametrize("name", NO_RACES)
def test_what_is_no_race(name, order):
    with emulator.checked(order=order):
        run(name)


def test_launches_are_ordered():
    y = np.zeros(256, np.int32)
    with emulator.checked():
        for _ in range(2):
            launch(CODE, "blocks_apart", 3, 64, np.zeros(64, np.uint8), y)
    np.testing.assert_array_equal(y[:192], np.tile(np.arange(64), 3))


LAST_BLOCK = """
// The last block to come adds up what the others have left.
extern "C" __global__ void sum(const float* x, float* parts, float* out, unsigned* come) {
    parts[blockIdx.x] = x[blockIdx.x];
    FENCE
    if (atomicAdd(come, 1) < gridDim.x - 1) return;
    out[0] = 0.f;
    for (int i = 0; i < gridDim.x; i++) out[0] += parts[i];
}
"""


@pytest.mark.parametrize("order", ["forward", "reverse", "random"])
def test_a_fence_and_an_atomic_publish_what_a_block_did(order):
    x, parts = np.arange(5, dtype=np.float32), np.zeros(5, np.float32)
    out, come = np.zeros(1, np.float32), np.zeros(1, np.uint32)
    with emulator.checked(order=order):
        code = LAST_BLOCK.replace("FENCE", "__threadfence();")
        launch(code, "sum", 5, 1, x, parts, out, come)
        assert out == x.sum()
        with pytest.raises(emulator.Race, match="no order among blocks"):
            launch(LAST_BLOCK.replace("FENCE", ""), "sum", 5, 1, x, parts, out, 0 * come)

// One number from those of all threads of a warp or a block, handed to all of them. The order of
// the operations depends on the block's size only, so results are the same every time.
#pragma once
#include "number.cuh"

struct Sum {
    template <class V> static __device__ V identity() { return V(0); }
    template <class V> static __device__ V combine(V a, V b) { return a + b; }
};

// NaN is larger than all numbers, as in NumPy.
struct Max {
    template <class V> static __device__ V identity() { return V(__int_as_float(0xff800000)); }
    template <class V> static __device__ V combine(V a, V b) { return a > b || a != a ? a : b; }
};

struct Min {
    template <class V> static __device__ V identity() { return V(__int_as_float(0x7f800000)); }
    template <class V> static __device__ V combine(V a, V b) { return a < b || a != a ? a : b; }
};

// All lanes of the warp call it. Of the numbers of all of them, or of those of 1, 2, 4, 8, 16 or 32
// neighbours.
template <class Operation, class V>
__device__ __forceinline__ V warp_reduce(V value, int lanes = 32) {
#pragma unroll
    for (int distance = lanes / 2; distance > 0; distance /= 2) {
        V other = __shfl_xor_sync(0xffffffffu, value, distance);
        value = Operation::combine(value, other);
    }
    return value;
}

// All threads of the block call it, a multiple of 32 of them, in one dimension.
template <class Operation, class V>
__device__ V block_reduce(V value) {
    __shared__ V of_warps[32];
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    value = warp_reduce<Operation>(value);
    __syncthreads();  // what the call before this one left has been read
    if (lane == 0) of_warps[warp] = value;
    __syncthreads();
    value = lane < warps ? of_warps[lane] : Operation::template identity<V>();
    return warp_reduce<Operation>(value);
}

template <class V> __device__ V warp_sum(V value) { return warp_reduce<Sum>(value); }
template <class V> __device__ V warp_max(V value) { return warp_reduce<Max>(value); }
template <class V> __device__ V block_sum(V value) { return block_reduce<Sum>(value); }
template <class V> __device__ V block_max(V value) { return block_reduce<Max>(value); }

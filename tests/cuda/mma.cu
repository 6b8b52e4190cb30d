// The wrapper mma.cuh, one warp a kernel.
#include "mma.cuh"

// a0 .. a7, b0 .. b3 and c0 .. c3 of every lane, as the PTX ISA draws mma.m16n8k16
extern "C" __global__ void product(const __half* a, const __half* b, float* c) {
    int group = threadIdx.x / 4, member = threadIdx.x % 4;
    __half as[8], bs[4];
    for (int i = 0; i < 8; i++) {
        int row = i < 2 || (i >= 4 && i < 6) ? group : group + 8;
        int column = member * 2 + (i & 1) + (i >= 4 ? 8 : 0);
        as[i] = a[row * 16 + column];
    }
    for (int i = 0; i < 4; i++) {
        int row = member * 2 + (i & 1) + (i >= 2 ? 8 : 0);
        bs[i] = b[row * 8 + group];
    }
    FragmentA left;
    FragmentB right;
    memcpy(left.r, as, sizeof as);
    memcpy(right.r, bs, sizeof bs);
    FragmentC sums;
    for (int i = 0; i < 4; i++) {
        sums.v[i] = c[(i < 2 ? group : group + 8) * 8 + member * 2 + (i & 1)];
    }
    mma(sums, left, right);
    for (int i = 0; i < 4; i++) {
        c[(i < 2 ? group : group + 8) * 8 + member * 2 + (i & 1)] = sums.v[i];
    }
}

template <bool TRANSPOSED>
__device__ void matrices(const Eight* rows, unsigned* out) {
    __shared__ Eight shared[32];
    shared[threadIdx.x] = rows[threadIdx.x];
    __syncwarp();
    unsigned r[4];
    load_matrices<TRANSPOSED>(r, shared[threadIdx.x]);
    for (int i = 0; i < 4; i++) out[threadIdx.x * 4 + i] = r[i];
}

extern "C" __global__ void plain(const Eight* rows, unsigned* out) { matrices<false>(rows, out); }
extern "C" __global__ void turned(const Eight* rows, unsigned* out) { matrices<true>(rows, out); }

// Copies in two groups, each lane the chunk of the lane before; out[1] is read while the second
// group may still be under way.
extern "C" __global__ void copies(const Eight* from, int zeros, Eight* out) {
    __shared__ Eight shared[2][32];
    int lane = threadIdx.x, other = (lane + 31) % 32;
    AsyncCopies copies;
    copies.begin(shared[0][lane], other < zeros ? nullptr : from[other].v);
    copies.commit();
    copies.begin(shared[1][lane], from[lane].v);
    copies.commit();
    copies.wait<1>();
    __syncwarp();
    out[lane] = shared[0][lane ^ 1];
    copies.wait<0>();
    __syncwarp();
    out[32 + lane] = shared[1][lane ^ 1];
}

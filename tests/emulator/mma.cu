// c (16, 16) = a (16, 16) times the transpose of b (16, 16), by one warp on tensor cores; each of
// the macros plants a bug.
#include "mma.cuh"

#ifndef STILL_COMING
#define STILL_COMING 0
#endif

// Of 16 lines of 16 numbers, two chunks a line, the four matrices in the order of a FragmentA.
__device__ void read(const Eight* chunks, unsigned (&r)[4]) {
    load_matrices<false>(r, chunks[threadIdx.x % 16 * 2 + threadIdx.x / 16]);
}

extern "C" __global__ void product(const Eight* a, const Eight* b, float* c) {
    __shared__ Eight left[32], right[32];
    int lane = threadIdx.x;
    AsyncCopies copies;
    copies.begin(left[lane], a[lane].v);
    copies.begin(right[lane], b[lane].v);
    copies.commit();
    copies.wait<STILL_COMING>();
#ifndef NO_BARRIER
    __syncwarp();
#endif
    FragmentA rows;
    unsigned columns[4];
#ifdef HALF_A_WARP
    if (lane < 16)
#endif
    read(left, rows.r);
    read(right, columns);
#ifdef REUSED
    copies.begin(left[lane ^ 1], a[lane].v);
#endif
#ifdef SWAPPED_A
    unsigned second = rows.r[1];
    rows.r[1] = rows.r[2];
    rows.r[2] = second;
#endif
    FragmentB first{columns[0], columns[2]}, last{columns[1], columns[3]};
#ifdef SWAPPED_B
    first = FragmentB{columns[2], columns[0]};
#endif
    FragmentC sums[2] = {};
    mma(sums[0], rows, first);
    mma(sums[1], rows, last);
    for (int j = 0; j < 2; j++) {
        for (int i = 0; i < 4; i++) {
            c[(lane / 4 + i / 2 * 8) * 16 + j * 8 + lane % 4 * 2 + i % 2] = sums[j].v[i];
        }
    }
}

// The second half of a sum whose parts were computed by different blocks: always in the same
// order, so that the result is the same every time.
#pragma once
#include "number.cuh"

// sum[i] = parts[0][i] + parts[1][i] + ..., for a block of 32 x 8 threads: 32 sums, eighths each.
extern "C" __global__ void __launch_bounds__(256)
add_parts(const Acc* parts, T* sum, int count, int part_count) {
    __shared__ Acc eighths[8][32];
    long long i = blockIdx.x * 32LL + threadIdx.x;
    Acc total = 0;
    if (i < count) {
        for (int part = threadIdx.y; part < part_count; part += 8) {
            total += parts[part * (long long)count + i];
        }
    }
    eighths[threadIdx.y][threadIdx.x] = total;
    __syncthreads();
    if (threadIdx.y == 0 && i < count) {
        for (int y = 1; y < 8; y++) total += eighths[y][threadIdx.x];
        sum[i] = T(total);
    }
}

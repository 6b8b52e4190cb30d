// Products too small for the tiles of `matmul.cu` to keep a GPU busy: few blocks would each wait
// for memory once for every few terms. Here the terms of a sum are shared out among the threads of
// a warp or a block, which all ask for theirs at once.
#include "reduce.cuh"

struct Few {
    int rows, columns, terms;
    // distances in memory between neighbours: along rows, columns and terms
    int a_row, a_term, b_column, b_term, c_row, c_column;
    int bias_row, bias_column;
};

const int SIDE = 4;    // a thread has so many rows, and of `dots` columns
const int WARPS = 4;   // of a block of `dots`
const int SHARES = 8;  // of the terms, in a block of `shares`
const int WARP = 32;

__device__ inline void write(const Few& at, const T* bias, T* c, int row, int column, Acc sum) {
    if (row >= at.rows || column >= at.columns) return;
    if (bias) sum += Acc(bias[row * at.bias_row + column * at.bias_column]);
    c[row * (long long)at.c_row + column * at.c_column] = T(sum);
}

// Terms are neighbours in both factors: a warp goes along SIDE rows of a and SIDE columns of b.
extern "C" __global__ void __launch_bounds__(WARPS* WARP)
dots(const T* __restrict__ a, const T* __restrict__ b, const T* bias, T* c, Few at) {
    int lane = threadIdx.x % WARP;
    int row = blockIdx.y * SIDE, column = (blockIdx.x * WARPS + threadIdx.x / WARP) * SIDE;
    const T *of_a[SIDE], *of_b[SIDE];
#pragma unroll
    for (int i = 0; i < SIDE; i++) {  // behind the end, the last one again
        of_a[i] = a + min(row + i, at.rows - 1) * (long long)at.a_row;
        of_b[i] = b + min(column + i, at.columns - 1) * (long long)at.b_column;
    }
    Acc sums[SIDE][SIDE] = {};
#pragma unroll 4
    for (int k = lane; k < at.terms; k += WARP) {
        Acc x[SIDE], y[SIDE];
#pragma unroll
        for (int i = 0; i < SIDE; i++) {
            x[i] = Acc(of_a[i][k]);
            y[i] = Acc(of_b[i][k]);
        }
#pragma unroll
        for (int i = 0; i < SIDE; i++) {
#pragma unroll
            for (int j = 0; j < SIDE; j++) sums[i][j] += x[i] * y[j];
        }
    }
#pragma unroll
    for (int i = 0; i < SIDE; i++) {
#pragma unroll
        for (int j = 0; j < SIDE; j++) {
            Acc sum = warp_sum(sums[i][j]);
            if (lane == i * SIDE + j) write(at, bias, c, row + i, column + j, sum);
        }
    }
}

// Columns are neighbours in b: a thread has one of them, and its share of the terms of SIDE rows.
extern "C" __global__ void __launch_bounds__(WARP* SHARES)
shares(const T* __restrict__ a, const T* __restrict__ b, const T* bias, T* c, Few at) {
    __shared__ Acc found[SHARES][SIDE][WARP];
    int row = blockIdx.y * SIDE, column = blockIdx.x * WARP + threadIdx.x;
    const T *of_a[SIDE], *of_b = b + min(column, at.columns - 1) * (long long)at.b_column;
#pragma unroll
    for (int i = 0; i < SIDE; i++) of_a[i] = a + min(row + i, at.rows - 1) * (long long)at.a_row;
    Acc sums[SIDE] = {};
#pragma unroll 8
    for (int k = threadIdx.y; k < at.terms; k += SHARES) {
        Acc y = Acc(of_b[k * (long long)at.b_term]);
#pragma unroll
        for (int i = 0; i < SIDE; i++) sums[i] += Acc(of_a[i][k * (long long)at.a_term]) * y;
    }
#pragma unroll
    for (int i = 0; i < SIDE; i++) found[threadIdx.y][i][threadIdx.x] = sums[i];
    __syncthreads();
    if (threadIdx.y >= SIDE) return;
    Acc sum = found[0][threadIdx.y][threadIdx.x];
#pragma unroll
    for (int s = 1; s < SHARES; s++) sum += found[s][threadIdx.y][threadIdx.x];
    write(at, bias, c, row + threadIdx.y, column, sum);
}

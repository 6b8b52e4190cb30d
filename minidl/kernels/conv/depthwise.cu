// Depthwise convolution: every filter sees one channel, so there is nothing to share between
// filters, and no product of matrices to make of it. One thread a number; neighbours in the
// picture read the same memory.
#include "divisor.cuh"
#include "reduce.cuh"

struct Depthwise {
    Divisor per_channel;                // filters of one channel
    int filter_height, filter_width;
    int height, width, out_height, out_width;
    int stride[2], before[2], dilation[2];
    Divisor step[2];                    // the stride again, to divide by
    Divisor channels, rows, columns;    // of what is computed: y, or x's gradient
    // distances in memory between neighbours along each axis
    int x_picture, x_channel, x_row, x_column;
    int y_picture, y_filter, y_row, y_column;
    int relu;
};

// Where the number is that has this index, in row-major order.
struct Place {
    int picture, channel, row, column;

    __device__ Place(const Depthwise& at, int index) {
        int line = at.columns.quotient(index), plane = at.rows.quotient(line);
        column = at.columns.remainder(index, line);
        row = at.rows.remainder(line, plane);
        picture = at.channels.quotient(plane);
        channel = at.channels.remainder(plane, picture);
    }
};

__device__ inline bool within(int place, int size) { return unsigned(place) < unsigned(size); }

extern "C" __global__ void depthwise(const T* x, const T* w, const T* bias, T* y, int count,
                                     Depthwise at) {
    FOR_EACH(index, count) {
        Place p(at, index);
        const T* plane = x + p.picture * at.x_picture +
                         at.per_channel.quotient(p.channel) * at.x_channel;
        const T* filter = w + p.channel * (at.filter_height * at.filter_width);
        Acc sum = bias ? Acc(bias[p.channel]) : Acc(0);
        for (int r = 0; r < at.filter_height; r++) {
            int row = p.row * at.stride[0] - at.before[0] + r * at.dilation[0];
            if (!within(row, at.height)) continue;
            for (int s = 0; s < at.filter_width; s++) {
                int column = p.column * at.stride[1] - at.before[1] + s * at.dilation[1];
                if (!within(column, at.width)) continue;
                sum += Acc(filter[r * at.filter_width + s]) *
                       Acc(plane[row * at.x_row + column * at.x_column]);
            }
        }
        if (at.relu) sum = sum <= Acc(0) ? Acc(0) : sum;  // NaN stays NaN
        y[p.picture * at.y_picture + p.channel * at.y_filter + p.row * at.y_row +
          p.column * at.y_column] = T(sum);
    }
}

// The output that meets an input at this distance, or -1.
__device__ inline int output_at(int distance, const Divisor& stride, int size) {
    if (distance < 0) return -1;
    int output = stride.quotient(distance);
    return stride.remainder(distance, output) == 0 && output < size ? output : -1;
}

extern "C" __global__ void depthwise_input_grad(const T* g, const T* w, T* dx, int count,
                                                Depthwise at) {
    FOR_EACH(index, count) {
        Place p(at, index);
        int filters = at.per_channel.number, taps = at.filter_height * at.filter_width;
        const T* plane = g + p.picture * at.y_picture + p.channel * filters * at.y_filter;
        const T* filter = w + p.channel * filters * taps;
        Acc sum = 0;
        for (int r = 0; r < at.filter_height; r++) {
            int i = output_at(p.row + at.before[0] - r * at.dilation[0], at.step[0], at.out_height);
            if (i < 0) continue;
            for (int s = 0; s < at.filter_width; s++) {
                int j = output_at(p.column + at.before[1] - s * at.dilation[1], at.step[1],
                                  at.out_width);
                if (j < 0) continue;
                const T* there = plane + i * at.y_row + j * at.y_column;
                for (int o = 0; o < filters; o++) {
                    sum += Acc(filter[o * taps + r * at.filter_width + s]) *
                           Acc(there[o * at.y_filter]);
                }
            }
        }
        dx[p.picture * at.x_picture + p.channel * at.x_channel + p.row * at.x_row +
           p.column * at.x_column] = T(sum);
    }
}

const int TAPS = 9;  // so many sums a thread keeps, to read g and x once for them all

// A block has one filter (blockIdx.x), TAPS of its taps (y) and a part of the positions (z):
// parts is (parts, filters, taps).
extern "C" __global__ void __launch_bounds__(256)
depthwise_weight_grad(const T* g, const T* x, Acc* parts, int positions, int part_size,
                      Depthwise at) {
    int filter = blockIdx.x, first = blockIdx.y * TAPS;
    int taps = at.filter_height * at.filter_width;
    int channel = at.per_channel.quotient(filter);
    int end = min(int(blockIdx.z + 1) * part_size, positions);
    Acc sums[TAPS] = {};
    for (int index = blockIdx.z * part_size + threadIdx.x; index < end; index += blockDim.x) {
        Place p(at, index);  // with one channel
        const T* plane = x + p.picture * at.x_picture + channel * at.x_channel;
        Acc gradient = Acc(g[p.picture * at.y_picture + filter * at.y_filter + p.row * at.y_row +
                             p.column * at.y_column]);
#pragma unroll
        for (int t = 0; t < TAPS; t++) {
            int r = (first + t) / at.filter_width, s = (first + t) % at.filter_width;
            int row = p.row * at.stride[0] - at.before[0] + r * at.dilation[0];
            int column = p.column * at.stride[1] - at.before[1] + s * at.dilation[1];
            if (first + t < taps && within(row, at.height) && within(column, at.width)) {
                sums[t] += gradient * Acc(plane[row * at.x_row + column * at.x_column]);
            }
        }
    }
    Acc* part = parts + (blockIdx.z * (long long)gridDim.x + filter) * taps + first;
#pragma unroll
    for (int t = 0; t < TAPS; t++) {
        Acc sum = block_sum(sums[t]);
        if (threadIdx.x == 0 && first + t < taps) part[t] = sum;
    }
}

#include "add_parts.cuh"

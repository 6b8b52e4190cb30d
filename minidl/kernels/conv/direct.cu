// Convolution of few channels by small filters, stride 1: a block has all that it needs in shared
// memory, brought there in one go. The tiles of `conv.cu` bring a few terms of the sums at a time,
// and for a small layer the way to memory and back, once for each few terms, is all of its time.
#include "number.cuh"

const int AHEAD = 32 / sizeof(Acc);  // numbers that a thread asks for before it waits for one
const int WARP = 32;

struct Direct {
    int channels, filters;
    int filter_height, filter_width;
    int height, width, out_height, out_width;  // of x and y
    int before[2];                             // rows of zeros above, columns at the left
    int band;                                  // rows of y that a block computes
    // distances in memory between neighbours in w, and where it begins: it may stand on its head
    int w_start, w_filter, w_channel, w_row, w_column;
    int relu;
};

// `lines` rows of `columns` numbers of each padded plane, from row `first` on: a warp a row.
__device__ inline void bring(const T* __restrict__ from, Acc* to, int planes, int lines,
                             int columns, int pitch, int first, int left, int height, int width) {
    int warps = blockDim.x / WARP, count = planes * lines;
    for (int column = threadIdx.x % WARP; column < columns; column += WARP) {
        for (int begin = threadIdx.x / WARP; begin < count; begin += warps * AHEAD) {
            Acc found[AHEAD];
#pragma unroll
            for (int a = 0; a < AHEAD; a++) {
                int line = begin + a * warps, plane = line / lines;
                int row = first + line - plane * lines, there = column - left;
                bool inside = line < count && unsigned(row) < unsigned(height) &&
                              unsigned(there) < unsigned(width);
                found[a] = inside ? Acc(from[(plane * height + row) * width + there]) : Acc(0);
            }
#pragma unroll
            for (int a = 0; a < AHEAD; a++) {
                int line = begin + a * warps;
                if (line < count) to[line * pitch + column] = found[a];
            }
        }
    }
}

// --------------------------------------------------------------------------- y = w x

// The same tap of several filters.
struct __align__(FILTERS * sizeof(Acc) < 16 ? FILTERS * sizeof(Acc) : 16) Taps {
    Acc of[FILTERS];
};

// All taps of FILTERS filters from `first` on; zeros for those behind the last one.
__device__ inline void bring_filters(const T* __restrict__ w, Acc* to, int first,
                                     const Direct& at) {
    int area = at.filter_height * at.filter_width, count = at.channels * area * FILTERS;
    for (int begin = threadIdx.x; begin < count; begin += blockDim.x * AHEAD) {
        Acc found[AHEAD];
#pragma unroll
        for (int a = 0; a < AHEAD; a++) {
            int k = begin + a * blockDim.x, filter = first + k % FILTERS, tap = k / FILTERS;
            int channel = tap / area, place = tap - channel * area;
            int r = place / at.filter_width, s = place - r * at.filter_width;
            found[a] = k < count && filter < at.filters
                           ? Acc(w[at.w_start + filter * at.w_filter + channel * at.w_channel +
                                   r * at.w_row + s * at.w_column])
                           : Acc(0);
        }
#pragma unroll
        for (int a = 0; a < AHEAD; a++) {
            int k = begin + a * blockDim.x;
            if (k < count) to[k] = found[a];
        }
    }
}

// Adds what the filters see of the pixels from `pixel` on. WIDTH is the filters', or 0.
template <int WIDTH>
__device__ inline void add_up(Acc (&sums)[FILTERS], const Acc* pixel, const Taps* taps,
                              const Direct& at, int pitch, int plane) {
    int width = WIDTH ? WIDTH : at.filter_width;
    for (int channel = 0; channel < at.channels; channel++) {
        for (int r = 0; r < at.filter_height; r++) {
            const Acc* row = pixel + channel * plane + r * pitch;
#pragma unroll
            for (int s = 0; s < width; s++) {
                Taps tap = taps[s];
#pragma unroll
                for (int f = 0; f < FILTERS; f++) sums[f] += tap.of[f] * row[s];
            }
            taps += width;
        }
    }
}

// A block has a band of rows (blockIdx.x) of FILTERS filters (y) of a picture (z).
extern "C" __global__ void __launch_bounds__(128)
direct(const T* x, const T* __restrict__ w, const T* bias, T* y, Direct at) {
    extern __shared__ double shared[];
    int first = blockIdx.y * FILTERS, top = blockIdx.x * at.band;
    int lines = at.band + at.filter_height - 1, pitch = at.out_width + at.filter_width - 1;
    Taps* taps = (Taps*)shared;
    Acc* tile = (Acc*)(taps + at.channels * at.filter_height * at.filter_width);
    bring_filters(w, (Acc*)taps, first, at);
    bring(x + blockIdx.z * (long long)(at.channels * at.height * at.width), tile, at.channels,
          lines, pitch, pitch, top - at.before[0], at.before[1], at.height, at.width);
    __syncthreads();
    int pixels = min(at.band, at.out_height - top) * at.out_width;
    for (int p = threadIdx.x; p < pixels; p += blockDim.x) {
        int i = p / at.out_width, j = p - i * at.out_width;
        const Acc* pixel = tile + i * pitch + j;
        Acc sums[FILTERS] = {};
        switch (at.filter_width) {
            case 3: add_up<3>(sums, pixel, taps, at, pitch, lines * pitch); break;
            case 5: add_up<5>(sums, pixel, taps, at, pitch, lines * pitch); break;
            default: add_up<0>(sums, pixel, taps, at, pitch, lines * pitch);
        }
#pragma unroll
        for (int f = 0; f < FILTERS; f++) {
            if (first + f < at.filters) {
                Acc sum = bias ? sums[f] + Acc(bias[first + f]) : sums[f];
                if (at.relu && sum <= Acc(0)) sum = 0;  // NaN stays NaN
                int plane = blockIdx.z * at.filters + first + f;
                y[(plane * (long long)at.out_height + top) * at.out_width + p] = T(sum);
            }
        }
    }
}

// --------------------------------------------------------------------------- dw = dy x

// Each thread has a row of the filters, r, and every so many rows of y. It goes along a row of y
// with WIDTH numbers of x in registers, which all columns of the filters want.
template <int WIDTH>
__device__ inline void weight_grad(const T* g, const T* x, Acc* part, int begin, int end,
                                   const Direct& at, Acc* shared) {
    int channel = blockIdx.x, first = blockIdx.y * FILTERS;
    int filters = min(FILTERS, at.filters - first);
    int slices = blockDim.x / at.filter_height, slice = threadIdx.x / at.filter_height;
    int r = threadIdx.x - slice * at.filter_height, lines = at.out_height + at.filter_height - 1;
    // odd, for threads in neighbouring rows to find their numbers in different banks
    int columns = at.out_width + WIDTH - 1, x_pitch = columns | 1, g_pitch = at.out_width | 1;
    Acc *tile = shared, *gradients = shared + lines * x_pitch;
    Acc sums[WIDTH][FILTERS] = {};
    for (int picture = begin; picture < end; picture++) {
        bring(x + (picture * at.channels + channel) * (long long)(at.height * at.width), tile, 1,
              lines, columns, x_pitch, -at.before[0], at.before[1], at.height, at.width);
        bring(g + (picture * at.filters + first) * (long long)(at.out_height * at.out_width),
              gradients, filters, at.out_height, at.out_width, g_pitch, 0, 0, at.out_height,
              at.out_width);
        __syncthreads();
        for (int i = slice < slices ? slice : at.out_height; i < at.out_height; i += slices) {
            const Acc *row = tile + (i + r) * x_pitch, *gradient = gradients + i * g_pitch;
            Acc window[WIDTH];
#pragma unroll
            for (int s = 0; s < WIDTH - 1; s++) window[s] = row[s];
            for (int j = 0; j < at.out_width; j++) {
                window[WIDTH - 1] = row[j + WIDTH - 1];
#pragma unroll
                for (int f = 0; f < FILTERS; f++) {
                    Acc value = f < filters ? gradient[f * at.out_height * g_pitch + j] : Acc(0);
#pragma unroll
                    for (int s = 0; s < WIDTH; s++) sums[s][f] += value * window[s];
                }
#pragma unroll
                for (int s = 0; s < WIDTH - 1; s++) window[s] = window[s + 1];
            }
        }
        __syncthreads();
    }
    // what the slices found is added up in their order
#pragma unroll
    for (int s = 0; s < WIDTH; s++) {
#pragma unroll
        for (int f = 0; f < FILTERS; f++) {
            shared[(s * FILTERS + f) * blockDim.x + threadIdx.x] = sums[s][f];
        }
    }
    __syncthreads();
    int area = at.filter_height * at.filter_width;
    for (int k = threadIdx.x; k < area * filters; k += blockDim.x) {
        int f = k / area, place = k - f * area;
        int row = place / at.filter_width, column = place - row * at.filter_width;
        const Acc* found = shared + (column * FILTERS + f) * blockDim.x + row;
        Acc sum = 0;
        for (int q = 0; q < slices; q++) sum += found[q * at.filter_height];
        part[((first + f) * at.channels + channel) * area + place] = sum;
    }
}

// A block has a channel (blockIdx.x), FILTERS filters (y) and `each` of the pictures (z): parts is
// (parts, filters, channels, taps).
extern "C" __global__ void __launch_bounds__(256)
direct_weight_grad(const T* g, const T* x, Acc* parts, int pictures, int each, Direct at) {
    extern __shared__ double shared[];
    int begin = blockIdx.z * each, end = min(begin + each, pictures);
    Acc* part = parts + blockIdx.z * (long long)(at.filters * at.channels) *
                            (at.filter_height * at.filter_width);
    if (at.filter_width <= 3) {
        weight_grad<3>(g, x, part, begin, end, at, (Acc*)shared);
    } else if (at.filter_width <= 5) {
        weight_grad<5>(g, x, part, begin, end, at, (Acc*)shared);
    } else {
        weight_grad<7>(g, x, part, begin, end, at, (Acc*)shared);
    }
}

#include "add_parts.cuh"

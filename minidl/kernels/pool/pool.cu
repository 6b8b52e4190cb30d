// Pooling and its gradients. Every thread gathers: the elements of a window for the result, for a
// gradient what comes back from all windows that cover an element. So nothing is added in memory,
// and sums have one order.
#include "reduce.cuh"
#include "divisor.cuh"

const int THREADS = 256;
const int STRIP = 4;  // rows of one column that a thread takes: it finds the column only once

// The thread's number in the grid. The launcher keeps all numbers below 2^31.
__device__ int thread_number() { return blockIdx.x * THREADS + threadIdx.x; }

// A place in arrays of planes, from a number that counts planes, rows and columns.
struct Counting {
    Divisor per_plane, per_row;
};

struct Place {
    int plane, row, column;

    __device__ Place(const Counting& by, int number) {
        plane = by.per_plane.quotient(number);
        int rest = by.per_plane.remainder(number, plane);
        row = by.per_row.quotient(rest);
        column = by.per_row.remainder(rest, row);
    }
};

// --------------------------------------------------------------------------- maximum

// Arrays by axis: rows, columns.
struct Windows {
    int size[2], out[2];  // of the planes of x and y
    int kernel[2], padding[2], dilation[2];
    Divisor stride[2];
    Counting outputs, strips;

    // Which windows may have the place in them: from .x up to, without, .y.
    __device__ int2 covering(int axis, int place) const {
        int last = place + padding[axis], reach = dilation[axis] * (kernel[axis] - 1) + 1;
        int first = last < reach ? 0 : stride[axis].quotient(last - reach) + 1;
        return make_int2(first, min(stride[axis].quotient(last) + 1, out[axis]));
    }
};

extern "C" __global__ void __launch_bounds__(THREADS)
max_pool2d(const T* x, T* y, long long* indices, Windows at, int count) {
    int number = thread_number();
    if (number >= count) return;
    Place place(at.outputs, number);
    int top = place.row * at.stride[0].number - at.padding[0];
    int left = place.column * at.stride[1].number - at.padding[1];
    const T* plane = x + place.plane * at.size[0] * at.size[1];
    Acc best = 0;
    int found = -1;
    for (int r = 0; r < at.kernel[0]; r++) {
        int row = top + r * at.dilation[0];
        if (unsigned(row) >= unsigned(at.size[0])) continue;
        for (int s = 0; s < at.kernel[1]; s++) {
            int column = left + s * at.dilation[1];
            if (unsigned(column) >= unsigned(at.size[1])) continue;
            int index = row * at.size[1] + column;
            Acc value = Acc(plane[index]);
            if (found < 0 || value > best || value != value) {
                best = value;
                found = index;
            }
        }
    }
    y[number] = T(best);
    indices[number] = found;
}

// Each element of g goes to where its index says.
extern "C" __global__ void __launch_bounds__(THREADS)
max_pool2d_scatter(const T* g, const long long* indices, T* dx, Windows at, int count) {
    int number = thread_number();
    if (number >= count) return;
    Place strip(at.strips, number);
    int2 columns = at.covering(1, strip.column);
    int plane = strip.plane * at.out[0] * at.out[1];
    for (int k = 0; k < STRIP; k++) {
        int row = strip.row * STRIP + k;
        if (row >= at.size[0]) return;
        int2 rows = at.covering(0, row);
        int target = row * at.size[1] + strip.column;
        Acc sum = 0;
        for (int i = rows.x; i < rows.y; i++) {
            for (int j = columns.x; j < columns.y; j++) {
                int from = plane + i * at.out[1] + j;
                Acc value = Acc(g[from]);  // on its way together with the index
                sum += indices[from] == target ? value : Acc(0);
            }
        }
        dx[strip.plane * at.size[0] * at.size[1] + target] = T(sum);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
max_pool2d_gather(const T* x, const long long* indices, T* y, int size, Divisor per_plane,
                  int count) {
    int number = thread_number();
    if (number < count) y[number] = x[per_plane.quotient(number) * size + indices[number]];
}

// --------------------------------------------------------------------------- mean

struct Means {
    int width, out_height, out_width;  // the first is x's
    int size, out_size;                // of a plane
    Divisor lanes;                     // threads that share a window
    Counting strips;                   // of the result
};

// The sums of windows, each times its scale, or in a gradient of elements times their scales.
// rows and columns say where each window starts and stops.
template <bool GRADIENT>
__device__ void mean(const T* x, T* y, const int2* rows, const int2* columns, const Acc* scale,
                     const Means& at, int count) {
    int thread = thread_number(), lanes = at.lanes.number;
    bool exists = thread < count;
    int number = at.lanes.quotient(exists ? thread : 0), lane = threadIdx.x % lanes;
    Place strip(at.strips, number);
    int2 across = columns[strip.column];
    for (int k = 0; k < STRIP; k++) {
        int i = strip.row * STRIP + k;
        bool stored = exists && i < at.out_height;
        int2 down = stored ? rows[i] : make_int2(0, 0);
        Acc sum = 0;
        for (int row = down.x; row < down.y; row++) {
            for (int column = across.x + lane; column < across.y; column += lanes) {
                int from = row * at.width + column;
                Acc value = Acc(x[strip.plane * at.size + from]);
                sum += GRADIENT ? value * scale[from] : value;
            }
        }
        sum = warp_reduce<Sum>(sum, lanes);
        if (stored && lane == 0) {
            int to = i * at.out_width + strip.column;
            y[strip.plane * at.out_size + to] = T(GRADIENT ? sum : sum * scale[to]);
        }
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
avg_pool2d(const T* x, T* y, const int2* rows, const int2* columns, const Acc* scale, Means at,
           int count) {
    mean<false>(x, y, rows, columns, scale, at, count);
}

// rows and columns are those of the windows that cover each element of dx.
extern "C" __global__ void __launch_bounds__(THREADS)
avg_pool2d_grad(const T* g, T* dx, const int2* rows, const int2* columns, const Acc* scale,
                Means at, int count) {
    mean<true>(g, dx, rows, columns, scale, at, count);
}

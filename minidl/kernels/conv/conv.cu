// Convolution as a product of matrices that are never written down (implicit GEMM): filters
// times patches of the picture, and for the filters' gradient result's gradient times patches.
//
// A position is an output (n, i, j), a tap a place of the filter (c, r, s); each is counted by one
// number, and its parts are found by division.
//
// On tensor cores x and w are channels-last, and the channels of a tap are counted fastest: eight
// taps that begin with a multiple of eight are neighbours in memory.
#include "product.cuh"
#include "divisor.cuh"

#ifdef TENSOR_CORES
const bool CHANNELS_LAST = true;
#else
const bool CHANNELS_LAST = false;
#endif

struct Geometry {
    int filters, taps, positions;           // filters and channels are those of a group
    int height, width;                      // of x
    int stride[2], before[2], dilation[2];  // before: rows of zeros above, columns at the left
    Divisor per_picture, per_row;           // positions
    Divisor per_outer, per_middle;          // taps: (channel, r, s), or (r, s, channel)
    // distances in memory between neighbours along each axis
    int x_picture, x_group, x_channel, x_row, x_column;
    int y_picture, y_group, y_filter, y_row, y_column;
    int w_group, w_filter, w_channel, w_row, w_column;
    int y_start, w_start;                   // parts of the input gradient begin further on
    int relu;
    Neighbours neighbours;                  // in y
};

struct Position {
    int picture, i, j;

    __device__ Position(const Geometry& at, int index) {
        picture = at.per_picture.quotient(index);
        int rest = at.per_picture.remainder(index, picture);
        i = at.per_row.quotient(rest);
        j = at.per_row.remainder(rest, i);
    }
};

struct Tap {
    int channel, r, s;

    __device__ Tap(const Geometry& at, int index) {
        int outer = at.per_outer.quotient(index);
        int rest = at.per_outer.remainder(index, outer);
        int middle = at.per_middle.quotient(rest);
        int inner = at.per_middle.remainder(rest, middle);
        channel = CHANNELS_LAST ? inner : outer;
        r = CHANNELS_LAST ? outer : middle;
        s = CHANNELS_LAST ? middle : inner;
    }
};

// A row and a column in one register: they are what a thread of a large tile lacks most.
struct Place {
    int both;

    __device__ Place() {}
    __device__ Place(int row, int column) : both(row << 16 | (column & 0xffff)) {}
    __device__ int row() const { return both >> 16; }
    __device__ int column() const { return short(both); }
};

// The number of the picture at x[start], or 0 outside of it.
__device__ inline Found padded(const Geometry& at, const T* x, int start, int row, int column) {
    bool inside = unsigned(row) < unsigned(at.height) && unsigned(column) < unsigned(at.width);
    return inside ? found(x + start + row * at.x_row + column * at.x_column) : Found();
}

// --------------------------------------------------------------------------- y = w x

struct Filters {
    typedef int Line;
    static const bool along_k = true;
    const Geometry& at;
    const T* w;

    __device__ Line line(int filter) const { return filter * at.w_filter; }
    __device__ Found operator()(Line line, int k) const {
        Tap tap(at, k);
        return found(w + line + tap.channel * at.w_channel + tap.r * at.w_row +
                     tap.s * at.w_column);
    }
};

struct Patches {
    struct Line {
        int picture;
        Place corner;  // where the first tap falls
    };
    static const bool along_k = CHANNELS_LAST;
    const Geometry& at;
    const T* x;

    __device__ Line line(int index) const {
        Position p(at, index);
        return {p.picture * at.x_picture,
                Place(p.i * at.stride[0] - at.before[0], p.j * at.stride[1] - at.before[1])};
    }
    __device__ Found operator()(const Line& line, int k) const {
        Tap tap(at, k);
        return padded(at, x, line.picture + tap.channel * at.x_channel,
                      line.corner.row() + tap.r * at.dilation[0],
                      line.corner.column() + tap.s * at.dilation[1]);
    }
};

struct Result {
    typedef int Line;
    const Geometry& at;
    T* y;
    const T* bias;  // or null
    const Neighbours neighbours = at.neighbours;

    __device__ Line line(int index) const {
        Position p(at, index);
        return p.picture * at.y_picture + p.i * at.y_row + p.j * at.y_column;
    }
    __device__ Acc finished(int filter, Acc value) const {
        if (bias) value += Acc(bias[filter]);
        return at.relu && value <= Acc(0) ? Acc(0) : value;  // NaN stays NaN
    }
    __device__ void operator()(Line line, int filter, Acc value) const {
        y[line + filter * at.y_filter] = T(finished(filter, value));
    }
    __device__ void pair(Line line, int filter, float first, float second) const {
        int next = neighbours == IN_COLUMN ? filter + 1 : filter;
        *(__half2*)&y[line + filter * at.y_filter] =
            __floats2half2_rn(finished(filter, first), finished(next, second));
    }
};

// One group of filters a blockIdx.z.
extern "C" __global__ void __launch_bounds__(TILE_THREADS, TILE_BLOCKS)
correlate(const T* x, const T* w, const T* bias, T* y, Geometry at) {
    int group = blockIdx.z;
    Filters filters{at, w + at.w_start + group * at.w_group};
    Patches patches{at, x + group * at.x_group};
    Result result{at, y + at.y_start + group * at.y_group, bias ? bias + group * at.filters : bias};
    tile_product(at.filters, at.positions, 0, at.taps, filters, patches, result);
}

// --------------------------------------------------------------------------- dw = dy x

struct Gradients {
    typedef int Line;
    static const bool along_k = !CHANNELS_LAST;
    const Geometry& at;
    const T* g;

    __device__ Line line(int filter) const { return filter * at.y_filter; }
    __device__ Found operator()(Line line, int k) const {
        Position p(at, k);
        return found(g + line + p.picture * at.y_picture + p.i * at.y_row + p.j * at.y_column);
    }
};

struct TapsOfPatches {
    struct Line {
        int channel;
        Place corner;  // where the tap falls for the first position
    };
    static const bool along_k = !CHANNELS_LAST;
    const Geometry& at;
    const T* x;

    __device__ Line line(int index) const {
        Tap tap(at, index);
        return {tap.channel * at.x_channel,
                Place(tap.r * at.dilation[0] - at.before[0],
                      tap.s * at.dilation[1] - at.before[1])};
    }
    __device__ Found operator()(const Line& line, int k) const {
        Position p(at, k);
        return padded(at, x, p.picture * at.x_picture + line.channel,
                      line.corner.row() + p.i * at.stride[0],
                      line.corner.column() + p.j * at.stride[1]);
    }
};

struct Part {
    typedef int Line;
    Acc* sums;
    int taps;
    static const Neighbours neighbours = IN_ROW;

    __device__ Line line(int tap) const { return tap; }
    __device__ void operator()(Line tap, int filter, Acc value) const {
        sums[filter * taps + tap] = value;
    }
    __device__ void pair(Line tap, int filter, float first, float second) const {
        *(float2*)&sums[filter * taps + tap] = make_float2(first, second);
    }
};

// A part of the positions a blockIdx.z, for each group: parts is (parts, groups, filters, taps).
extern "C" __global__ void __launch_bounds__(TILE_THREADS, TILE_BLOCKS)
weight_grad(const T* g, const T* x, Acc* parts, int groups, int part_size, Geometry at) {
    int group = blockIdx.z % groups, begin = blockIdx.z / groups * part_size;
    Gradients gradients{at, g + group * at.y_group};
    TapsOfPatches patches{at, x + group * at.x_group};
    Part part{parts + blockIdx.z * ((long long)at.filters * at.taps), at.taps};
    int end = min(begin + part_size, at.positions);
    tile_product(at.filters, at.taps, begin, end, gradients, patches, part);
}

#include "add_parts.cuh"

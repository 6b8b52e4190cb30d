// Softmax, its logarithm and cross-entropy. The threads of a row are `lanes` neighbours in a warp,
// or for many classes the whole block; they read the row once for its largest element and the sum
// of exponentials together (Milakov and Gimelshein, Online normalizer calculation for softmax,
// 2018), and a second time, from the cache, for what depends on these.
#include "reduce.cuh"
#include "vector.cuh"

const int THREADS = 1024;  // of a block, at most

struct Shape { int rows, classes, lanes; };

// As many classes as a thread takes at a time.
struct Chunk { Acc at[WIDTH]; };

// The part of a thread: every lanes-th class of a row or, where these can be read at once, every
// lanes-th pack of them.
struct Part {
    int row, lane, lanes, end;
    int begin, step, stride;  // chunks begin with the classes begin, begin + step, ...
    long long start;          // of the row
    bool exists, in_packs;

    __device__ Part(const Shape& shape, bool arrays_are_aligned) {
        lanes = shape.lanes;
        in_packs = arrays_are_aligned && shape.classes % WIDTH == 0;
        row = blockIdx.x * (blockDim.x / lanes) + threadIdx.x / lanes;
        lane = threadIdx.x % lanes;
        exists = row < shape.rows;
        end = exists ? shape.classes : 0;
        start = row * (long long)shape.classes;
        begin = in_packs ? lane * WIDTH : lane;
        step = lanes * WIDTH;
        stride = in_packs ? 1 : lanes;
    }
    __device__ bool stores() const { return exists && lane == 0; }
    __device__ int place(int c, int i) const { return c + i * stride; }

    // The chunk that begins with class c; `missing` stands for what lies behind the last class.
    __device__ Chunk read(const T* row, int c, Acc missing) const {
        Chunk chunk;
        if (in_packs) {
            Pack<WIDTH> pack = load<WIDTH>(row + c);
#pragma unroll
            for (int i = 0; i < WIDTH; i++) chunk.at[i] = Acc(pack.at[i]);
        } else {
#pragma unroll
            for (int i = 0; i < WIDTH; i++) {
                chunk.at[i] = place(c, i) < end ? Acc(row[place(c, i)]) : missing;
            }
        }
        return chunk;
    }
    __device__ void write(T* row, int c, const Chunk& chunk) const {
        if (in_packs) {
            Pack<WIDTH> pack;
#pragma unroll
            for (int i = 0; i < WIDTH; i++) pack.at[i] = T(chunk.at[i]);
            store(row + c, pack);
        } else {
#pragma unroll
            for (int i = 0; i < WIDTH; i++) {
                if (place(c, i) < end) row[place(c, i)] = T(chunk.at[i]);
            }
        }
    }

    template <class Operation> __device__ Acc over_row(Acc value) const {
        return lanes <= 32 ? warp_reduce<Operation>(value, lanes) : block_reduce<Operation>(value);
    }
    // The sum of term(c) over the classes.
    template <class Term> __device__ Acc sum(const Term& term) const {
        Acc total = 0;
        for (int c = lane; c < end; c += lanes) total += term(c);
        return over_row<Sum>(total);
    }
};

#define FOR_EACH_CHUNK(c, part) for (int c = part.begin; c < part.end; c += part.step)

// The largest element of a row, and the sum of exp(x - top).
struct Exponentials {
    Acc top, total;

    __device__ Exponentials(const T* row, const Part& part) {
        const Acc least = Max::identity<Acc>();
        Acc mine = 0, most = least;
#pragma unroll 2
        FOR_EACH_CHUNK(c, part) {
            Chunk x = part.read(row, c, least);
            Acc larger = most;
#pragma unroll
            for (int i = 0; i < WIDTH; i++) larger = x.at[i] > larger ? x.at[i] : larger;
            if (larger > most) mine *= exp(most - larger);
            most = larger;
            Acc shift = most == least ? Acc(0) : most;  // -inf counts as nothing
#pragma unroll
            for (int i = 0; i < WIDTH; i++) mine += exp(x.at[i] - shift);
        }
        top = part.over_row<Max>(most);
        total = part.over_row<Sum>(mine * exp(most - top));
    }
};

// --------------------------------------------------------------------------- softmax

extern "C" __global__ void __launch_bounds__(THREADS, 1)
softmax(const T* x, T* y, Shape shape) {
    Part part(shape, aligned(x, y));
    x += part.start, y += part.start;
    Exponentials found(x, part);
    FOR_EACH_CHUNK(c, part) {
        Chunk chunk = part.read(x, c, 0);
#pragma unroll
        for (Acc& value : chunk.at) value = exp(value - found.top) / found.total;
        part.write(y, c, chunk);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
log_softmax(const T* x, T* y, Shape shape) {
    Part part(shape, aligned(x, y));
    x += part.start, y += part.start;
    Exponentials found(x, part);
    Acc log_total = log(found.total);
    FOR_EACH_CHUNK(c, part) {
        Chunk chunk = part.read(x, c, 0);
#pragma unroll
        for (Acc& value : chunk.at) value = value - found.top - log_total;
        part.write(y, c, chunk);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
softmax_grad(const T* g, const T* y, T* dx, Shape shape) {
    Part part(shape, aligned(g, y, dx));
    g += part.start, y += part.start, dx += part.start;
    Acc total = 0;
    FOR_EACH_CHUNK(c, part) {
        Chunk upper = part.read(g, c, 0), chunk = part.read(y, c, 0);
#pragma unroll
        for (int i = 0; i < WIDTH; i++) total += upper.at[i] * chunk.at[i];
    }
    total = part.over_row<Sum>(total);
    FOR_EACH_CHUNK(c, part) {
        Chunk upper = part.read(g, c, 0), chunk = part.read(y, c, 0);
#pragma unroll
        for (int i = 0; i < WIDTH; i++) chunk.at[i] *= upper.at[i] - total;
        part.write(dx, c, chunk);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
log_softmax_grad(const T* g, const T* y, T* dx, Shape shape) {
    Part part(shape, aligned(g, y, dx));
    g += part.start, y += part.start, dx += part.start;
    Acc total = 0;
    FOR_EACH_CHUNK(c, part) {
        Chunk upper = part.read(g, c, 0);
#pragma unroll
        for (Acc value : upper.at) total += value;
    }
    total = part.over_row<Sum>(total);
    FOR_EACH_CHUNK(c, part) {
        Chunk upper = part.read(g, c, 0), chunk = part.read(y, c, 0);
#pragma unroll
        for (int i = 0; i < WIDTH; i++) chunk.at[i] = upper.at[i] - exp(chunk.at[i]) * total;
        part.write(dx, c, chunk);
    }
}

// --------------------------------------------------------------------------- cross-entropy

struct Labels {
    const long long* at;
    const T* weights;  // by class, or null for ones
    long long ignored;
    int classes;

    __device__ Acc weight(int c) const { return weights ? Acc(weights[c]) : Acc(1); }
    // Its weight; 0 if the label is ignored, and NaN if it is no class: for that nobody asks the
    // device, and so nobody waits for it.
    __device__ Acc weight_of_label(long long label) const {
        if (label == ignored) return 0;
        return label < 0 || label >= classes ? Acc(__int_as_float(0x7fffffff)) : weight(label);
    }
};

extern "C" __global__ void __launch_bounds__(THREADS, 1)
cross_entropy(const T* x, const long long* at, const T* weights, T* loss, T* logsumexp, Shape shape,
              Acc smoothing, long long ignored) {
    Part part(shape, aligned(x));
    Labels labels{at, weights, ignored, shape.classes};
    x += part.start;
    Exponentials found(x, part);
    Acc whole = found.top + log(found.total), spread = 0;
    if (smoothing > 0) {
        spread = part.sum([&](int c) { return labels.weight(c) * (whole - Acc(x[c])); });
    }
    if (!part.stores()) return;
    long long label = at[part.row];
    Acc weight = labels.weight_of_label(label), value = weight;
    if (label >= 0 && label < shape.classes) value = weight * (whole - Acc(x[label]));
    value = (1 - smoothing) * value + smoothing / shape.classes * spread;
    loss[part.row] = T(label == ignored ? Acc(0) : value);
    logsumexp[part.row] = T(whole);
}

// g has a number a row, or with a step of 0 one for all.
extern "C" __global__ void __launch_bounds__(THREADS, 1)
cross_entropy_grad(const T* g, const T* x, const long long* at, const T* weights,
                   const T* logsumexp, T* dx, Shape shape, Acc smoothing, long long ignored,
                   int g_step) {
    Part part(shape, aligned(x, dx));
    Labels labels{at, weights, ignored, shape.classes};
    x += part.start, dx += part.start;
    Acc all = shape.classes, share = smoothing / shape.classes;
    if (weights && smoothing > 0) all = part.sum([&](int c) { return labels.weight(c); });
    if (!part.exists) return;
    long long label = at[part.row];
    Acc upper = Acc(g[part.row * (long long)g_step]), whole = Acc(logsumexp[part.row]);
    Acc hit = (1 - smoothing) * labels.weight_of_label(label), sum = hit + share * all;
    FOR_EACH_CHUNK(first, part) {
        Chunk chunk = part.read(x, first, 0);
#pragma unroll
        for (int i = 0; i < WIDTH; i++) {
            int c = part.place(first, i);
            if (c >= part.end) continue;
            Acc value = sum * exp(chunk.at[i] - whole) - share * labels.weight(c);
            if (c == label) value -= hit;
            chunk.at[i] = label == ignored ? Acc(0) : upper * value;
        }
        part.write(dx, first, chunk);
    }
}

// --------------------------------------------------------------------------- the mean of losses

// The mean, and one over the sum of weights; or these sums, for the blocks of a large batch.
__device__ void finish(Acc loss, Acc weight, Acc* parts, T* mean, T* share) {
    if (threadIdx.x > 0) return;
    if (parts) {
        parts[2 * blockIdx.x] = loss;
        parts[2 * blockIdx.x + 1] = weight;
    } else {
        *mean = T(loss / weight);
        *share = T(1 / weight);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
weighted_mean(const T* loss, const long long* at, const T* weights, Acc* parts, T* mean, T* share,
              int rows, int classes, long long ignored) {
    Labels labels{at, weights, ignored, classes};
    Acc losses = 0, total = 0;
#pragma unroll 4
    for (int row = blockIdx.x * blockDim.x + threadIdx.x; row < rows;
         row += gridDim.x * blockDim.x) {
        losses += Acc(loss[row]);
        total += labels.weight_of_label(at[row]);
    }
    finish(block_sum(losses), block_sum(total), parts, mean, share);
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
mean_of_parts(const Acc* parts, T* mean, T* share, int count) {
    Acc losses = 0, total = 0;
    for (int i = threadIdx.x; i < count; i += blockDim.x) {
        losses += parts[2 * i];
        total += parts[2 * i + 1];
    }
    finish(block_sum(losses), block_sum(total), nullptr, mean, share);
}

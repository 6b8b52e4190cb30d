// Softmax, its logarithm and cross-entropy. The threads of a row are `lanes` neighbours in a warp,
// or for many classes the whole block; they read the row once for its largest element and the sum
// of exponentials together (Milakov and Gimelshein, Online normalizer calculation for softmax,
// 2018), and a second time, from the cache, for what depends on these.
#include "reduce.cuh"

struct Shape { int rows, classes, lanes; };

// The part of a thread: every lanes-th class of a row.
struct Part {
    int row, lane, lanes, end;
    long long start;  // of the row
    bool exists;

    __device__ explicit Part(const Shape& shape) : lanes(shape.lanes) {
        row = blockIdx.x * (blockDim.x / lanes) + threadIdx.x / lanes;
        lane = threadIdx.x % lanes;
        exists = row < shape.rows;
        end = exists ? shape.classes : 0;
        start = row * (long long)shape.classes;
    }
    __device__ bool stores() const { return exists && lane == 0; }
    template <class Operation> __device__ Acc over_row(Acc value) const {
        return lanes <= 32 ? warp_reduce<Operation>(value, lanes) : block_reduce<Operation>(value);
    }
    template <class Term> __device__ Acc sum(const Term& term) const {
        Acc total = 0;
#pragma unroll 4
        for (int c = lane; c < end; c += lanes) total += term(c);
        return over_row<Sum>(total);
    }
};

// The largest element of a row, and the sum of exp(x - top).
struct Exponentials {
    Acc top, total;

    __device__ Exponentials(const T* row, const Part& part) {
        const Acc least = Max::identity<Acc>();
        Acc mine = 0, most = least;
#pragma unroll 4
        for (int c = part.lane; c < part.end; c += part.lanes) {
            Acc value = Acc(row[c]);
            bool larger = value > most;
            Acc ratio = exp(larger ? most - value : value - most);
            mine = larger ? mine * ratio + 1 : value == least ? mine : mine + ratio;
            most = larger ? value : most;
        }
        top = part.over_row<Max>(most);
        total = part.over_row<Sum>(mine * exp(most - top));
    }
};

// --------------------------------------------------------------------------- softmax

const int THREADS = 1024;  // of a block, at most

extern "C" __global__ void __launch_bounds__(THREADS, 1)
softmax(const T* x, T* y, Shape shape) {
    Part part(shape);
    x += part.start, y += part.start;
    Exponentials found(x, part);
#pragma unroll 4
    for (int c = part.lane; c < part.end; c += part.lanes) {
        y[c] = T(exp(Acc(x[c]) - found.top) / found.total);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
log_softmax(const T* x, T* y, Shape shape) {
    Part part(shape);
    x += part.start, y += part.start;
    Exponentials found(x, part);
    Acc log_total = log(found.total);
#pragma unroll 4
    for (int c = part.lane; c < part.end; c += part.lanes) {
        y[c] = T(Acc(x[c]) - found.top - log_total);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
softmax_grad(const T* g, const T* y, T* dx, Shape shape) {
    Part part(shape);
    g += part.start, y += part.start, dx += part.start;
    Acc total = part.sum([&](int c) { return Acc(g[c]) * Acc(y[c]); });
#pragma unroll 4
    for (int c = part.lane; c < part.end; c += part.lanes) {
        dx[c] = T((Acc(g[c]) - total) * Acc(y[c]));
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
log_softmax_grad(const T* g, const T* y, T* dx, Shape shape) {
    Part part(shape);
    g += part.start, y += part.start, dx += part.start;
    Acc total = part.sum([&](int c) { return Acc(g[c]); });
#pragma unroll 4
    for (int c = part.lane; c < part.end; c += part.lanes) {
        dx[c] = T(Acc(g[c]) - exp(Acc(y[c])) * total);
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
    Part part(shape);
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
    Part part(shape);
    Labels labels{at, weights, ignored, shape.classes};
    x += part.start, dx += part.start;
    Acc all = shape.classes, share = smoothing / shape.classes;
    if (weights && smoothing > 0) all = part.sum([&](int c) { return labels.weight(c); });
    if (!part.exists) return;
    long long label = at[part.row];
    Acc upper = Acc(g[part.row * (long long)g_step]), whole = Acc(logsumexp[part.row]);
    Acc hit = (1 - smoothing) * labels.weight_of_label(label), sum = hit + share * all;
#pragma unroll 4
    for (int c = part.lane; c < part.end; c += part.lanes) {
        Acc value = sum * exp(Acc(x[c]) - whole) - share * labels.weight(c);
        if (c == label) value -= hit;
        dx[c] = T(label == ignored ? Acc(0) : upper * value);
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

// Normalisation of arrays (N, channels, inner): by channel over the batch, or by group of
// channels in each sample. Sums of a channel come in two stages: parts, and then their sum.
#include "map.cuh"
#include "reduce.cuh"

// What a part comes to: mean and squared deviations, or two sums.
struct Pair { Acc first, second; };

// ------------------------------------------------------------------ what is added up

// The mean and the squared deviations from it. A sum of squares would cancel where the mean is
// large; so parts are joined with T. Chan, G. Golub, R. LeVeque, "Updating formulae", 1979.
struct Moments {
    const T* x;
    Acc count, mean, squares;

    template <int COUNT>
    __device__ void add(long long i, long long) {
        const Pack<COUNT> pack = load<COUNT>(x + i);
        Acc centre = 0, spread = 0;
        #pragma unroll
        for (int k = 0; k < COUNT; ++k) centre += Acc(pack.at[k]);
        centre /= COUNT;
        #pragma unroll
        for (int k = 0; k < COUNT; ++k) {
            const Acc deviation = Acc(pack.at[k]) - centre;
            spread += deviation * deviation;
        }
        count += COUNT;
        const Acc share = COUNT / count, step = centre - mean;
        mean += step * share;
        squares += spread + step * step * (count - COUNT) * share;
    }

    __device__ bool in_packs() const { return aligned(x); }

    // The moments of all threads of the block together.
    __device__ Pair of_block() const {
        const Acc whole = block_sum(count * mean) / block_sum(count), step = mean - whole;
        return {whole, block_sum(squares + count * step * step)};
    }
};

// The sums of g and of g z, with z = (x - mean) rstd; without a mean, z = x. Each sample has
// `per_sample` statistics, of which `first` is the channel's; with 0, all samples share them.
struct Products {
    const T *g, *x;
    const Acc *mean, *rstd;
    int per_sample, first;
    Acc total, product;

    template <int COUNT>
    __device__ void add(long long i, long long sample) {
        const Pack<COUNT> g_pack = load<COUNT>(g + i), pack = load<COUNT>(x + i);
        const long long statistic = sample * per_sample + first;
        const Acc centre = mean ? mean[statistic] : Acc(0), scale = mean ? rstd[statistic] : Acc(1);
        #pragma unroll
        for (int k = 0; k < COUNT; ++k) {
            total += Acc(g_pack.at[k]);
            product += Acc(g_pack.at[k]) * ((Acc(pack.at[k]) - centre) * scale);
        }
    }

    __device__ bool in_packs() const { return aligned(g, x); }

    __device__ Pair of_block() const {
        const Acc whole = block_sum(total);
        return {whole, block_sum(product)};
    }
};

// ------------------------------------------------------------------ one part of a channel

template <int COUNT, class Sums>
__device__ void add_rows(Sums& sums, long long begin, long long end, int channels, int inner) {
    for (long long i = begin + COUNT * threadIdx.x; i < end; i += COUNT * blockDim.x) {
        const long long sample = i / inner;
        sums.template add<COUNT>((sample * channels + blockIdx.x) * inner + i % inner, sample);
    }
}

// Block (c, part) takes `piece` of the channel's `total` elements; thread 0 gets the result.
template <class Sums>
__device__ Pair sum_rows(Sums sums, long long total, long long piece, int channels, int inner) {
    const long long begin = blockIdx.y * piece, end = min(begin + piece, total);
    if (inner % WIDTH == 0 && sums.in_packs()) {
        add_rows<WIDTH>(sums, begin, end, channels, inner);
    } else {
        add_rows<1>(sums, begin, end, channels, inner);
    }
    return sums.of_block();
}

// For short rows: each thread takes one of the `columns` = channels * inner of `piece` samples.
template <class Sums>
__device__ void add_column(Sums& sums, long long column, long long columns, long long begin,
                           long long end) {
    #pragma unroll 4
    for (long long sample = begin; sample < end; ++sample) {
        sums.template add<1>(sample * columns + column, sample);
    }
}

// ------------------------------------------------------------------ batch statistics

struct Statistics {
    Acc *mean, *var, *rstd;

    __device__ void write(int channel, Acc centre, Acc variance, Acc eps) const {
        mean[channel] = centre;
        var[channel] = variance;
        rstd[channel] = 1 / sqrt(variance + eps);
    }
};

extern "C" __global__ void row_moments(const T* x, long long total, long long piece, int channels,
                                       int inner, Pair* parts, Acc eps, Acc* mean, Acc* var,
                                       Acc* rstd) {
    const Pair part = sum_rows(Moments{x, 0, 0, 0}, total, piece, channels, inner);
    if (threadIdx.x) return;
    if (gridDim.y > 1) {
        parts[blockIdx.y * channels + blockIdx.x] = part;
    } else {
        Statistics{mean, var, rstd}.write(blockIdx.x, part.first, part.second / total, eps);
    }
}

extern "C" __global__ void column_moments(const T* x, long long samples, long long piece,
                                          long long columns, Pair* parts) {
    const long long column = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    const long long part = blockIdx.y * blockDim.y + threadIdx.y, begin = part * piece;
    if (column >= columns || begin >= samples) return;
    Moments moments{x, 0, 0, 0};
    add_column(moments, column, columns, begin, min(begin + piece, samples));
    parts[part * columns + column] = {moments.mean, moments.squares};
}

// A warp joins a channel's parts: `width` in each of `count` places, of `piece` elements each,
// the last one of what is left of `total`.
extern "C" __global__ void join_moments(const Pair* parts, int count, int width, int channels,
                                        long long total, long long piece, Acc eps, Acc* mean,
                                        Acc* var, Acc* rstd) {
    const int channel = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (channel >= channels) return;
    const Acc all = Acc(total) * width;
    Acc sum = 0, squares = 0;
    for (int i = lane; i < count * width; i += 32) {
        const long long place = i / width;
        const Pair part = parts[(place * channels + channel) * width + i % width];
        sum += min(piece, total - place * piece) * part.first;
    }
    const Acc centre = warp_sum(sum) / all;
    for (int i = lane; i < count * width; i += 32) {
        const long long place = i / width;
        const Pair part = parts[(place * channels + channel) * width + i % width];
        const Acc step = part.first - centre;
        squares += part.second + min(piece, total - place * piece) * step * step;
    }
    const Acc variance = warp_sum(squares) / all;
    if (lane == 0) Statistics{mean, var, rstd}.write(channel, centre, variance, eps);
}

// running += momentum (batch - running), with the unbiased variance
extern "C" __global__ void move_running(const Acc* mean, const Acc* var, T* running_mean,
                                        T* running_var, int channels, Acc momentum,
                                        Acc correction) {
    FOR_EACH(c, channels) {
        if (running_mean) {
            running_mean[c] = T((1 - momentum) * Acc(running_mean[c]) + momentum * mean[c]);
        }
        if (running_var) {
            const Acc batch = var[c] * correction;
            running_var[c] = T((1 - momentum) * Acc(running_var[c]) + momentum * batch);
        }
    }
}

// ------------------------------------------------------------------ sums for the gradients
// `size` channels share their statistics: one by channel, those of a group by group.

extern "C" __global__ void row_products(const T* g, const T* x, const Acc* mean, const Acc* rstd,
                                        int per_sample, int size, long long total, long long piece,
                                        int channels, int inner, Pair* parts, Acc* g_bias,
                                        Acc* g_weight) {
    const int first = blockIdx.x / size;
    const Products products{g, x, mean, rstd, per_sample, first, 0, 0};
    const Pair part = sum_rows(products, total, piece, channels, inner);
    if (threadIdx.x) return;
    if (gridDim.y > 1) {
        parts[blockIdx.y * channels + blockIdx.x] = part;
    } else {
        g_bias[blockIdx.x] = part.first;
        g_weight[blockIdx.x] = part.second;
    }
}

extern "C" __global__ void column_products(const T* g, const T* x, const Acc* mean,
                                           const Acc* rstd, int per_sample, int size,
                                           long long samples, long long piece, long long columns,
                                           int inner, Pair* parts) {
    const long long column = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    const long long part = blockIdx.y * blockDim.y + threadIdx.y, begin = part * piece;
    if (column >= columns || begin >= samples) return;
    Products products{g, x, mean, rstd, per_sample, int(column / inner / size), 0, 0};
    add_column(products, column, columns, begin, min(begin + piece, samples));
    parts[part * columns + column] = {products.total, products.product};
}

extern "C" __global__ void join_products(const Pair* parts, int count, int width, int channels,
                                         Acc* g_bias, Acc* g_weight) {
    const int channel = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (channel >= channels) return;
    Acc total = 0, product = 0;
    for (int i = lane; i < count * width; i += 32) {
        const long long place = i / width;
        const Pair part = parts[(place * channels + channel) * width + i % width];
        total += part.first;
        product += part.second;
    }
    total = warp_sum(total);
    product = warp_sum(product);
    if (lane == 0) {
        g_bias[channel] = total;
        g_weight[channel] = product;
    }
}

// ------------------------------------------------------------------ by channel, each element

struct Normalize {
    const Acc *mean, *rstd;
    const T *weight, *bias;
    Acc centre, scale, shift;

    __device__ void enter(int channel) {
        centre = mean[channel];
        scale = rstd[channel] * (weight ? Acc(weight[channel]) : Acc(1));
        shift = bias ? Acc(bias[channel]) : Acc(0);
    }
    __device__ Acc operator()(Acc x) const { return (x - centre) * scale + shift; }
};

struct NormalizeGrad {
    const Acc *mean, *rstd;
    const T* weight;
    const Acc *g_bias, *g_weight;
    Acc count, centre, scale, g_mean, slope;

    __device__ void enter(int channel) {
        centre = mean[channel];
        scale = rstd[channel] * (weight ? Acc(weight[channel]) : Acc(1));
        g_mean = g_bias[channel] / count;
        slope = g_weight[channel] * rstd[channel] / count;
    }
    __device__ Acc operator()(Acc g, Acc x) const {
        return scale * (g - g_mean - (x - centre) * slope);
    }
};

struct ScaleShift {
    const T *scales, *shifts;
    Acc scale, shift;

    __device__ void enter(int channel) {
        scale = Acc(scales[channel]);
        shift = shifts ? Acc(shifts[channel]) : Acc(0);
    }
    __device__ Acc operator()(Acc x) const { return x * scale + shift; }
};

extern "C" __global__ void normalize(const T* x, const Acc* mean, const Acc* rstd, const T* weight,
                                     const T* bias, long long n, long long inner, int channels,
                                     T* y) {
    map(n, inner, channels, Normalize{mean, rstd, weight, bias}, y, x);
}

extern "C" __global__ void normalize_grad(const T* g, const T* x, const Acc* mean, const Acc* rstd,
                                          const T* weight, const Acc* g_bias, const Acc* g_weight,
                                          Acc count, long long n, long long inner, int channels,
                                          T* g_x) {
    map(n, inner, channels, NormalizeGrad{mean, rstd, weight, g_bias, g_weight, count}, g_x, g, x);
}

extern "C" __global__ void scale_shift(const T* x, const T* scale, const T* shift, long long n,
                                       long long inner, int channels, T* y) {
    map(n, inner, channels, ScaleShift{scale, shift}, y, x);
}

// ------------------------------------------------------------------ by group, a block each

// A group is one row of `length` elements; its channels have `inner` elements each.
template <int COUNT>
__device__ void normalize_row(const T* x, const T* weight, const T* bias, int length, int inner,
                              Acc eps, T* y, Acc* mean, Acc* rstd) {
    Moments moments{x, 0, 0, 0};
    for (int i = COUNT * threadIdx.x; i < length; i += COUNT * blockDim.x) {
        moments.add<COUNT>(i, 0);
    }
    const Pair whole = moments.of_block();
    const Acc scale = 1 / sqrt(whole.second / length + eps);
    if (threadIdx.x == 0) {
        *mean = whole.first;
        *rstd = scale;
    }
    for (int i = COUNT * threadIdx.x; i < length; i += COUNT * blockDim.x) {
        Pack<COUNT> pack = load<COUNT>(x + i);
        Position at(i, inner, length);
        #pragma unroll
        for (int k = 0; k < COUNT; ++k, at.step()) {
            const Acc z = (Acc(pack.at[k]) - whole.first) * scale;
            const Acc w = weight ? Acc(weight[at.channel]) : Acc(1);
            pack.at[k] = T(z * w + (bias ? Acc(bias[at.channel]) : Acc(0)));
        }
        store(y + i, pack);
    }
}

extern "C" __global__ void group_normalize(const T* x, const T* weight, const T* bias, int length,
                                           int inner, int groups, Acc eps, T* y, Acc* mean,
                                           Acc* rstd) {
    const int row = blockIdx.x, channel = row % groups * (length / inner);
    const bool in_packs = length % WIDTH == 0 && aligned(x, y);
    x += row * (long long)length;
    y += row * (long long)length;
    weight = weight ? weight + channel : weight;
    bias = bias ? bias + channel : bias;
    if (in_packs) {
        normalize_row<WIDTH>(x, weight, bias, length, inner, eps, y, mean + row, rstd + row);
    } else {
        normalize_row<1>(x, weight, bias, length, inner, eps, y, mean + row, rstd + row);
    }
}

// g_x = rstd (h - sum(h) / length - z sum(h z) / length), with h = g weight
template <int COUNT>
__device__ void normalize_row_grad(const T* g, const T* x, Acc mean, Acc rstd, const T* weight,
                                   int length, int inner, T* g_x) {
    Acc total = 0, product = 0;
    for (int i = COUNT * threadIdx.x; i < length; i += COUNT * blockDim.x) {
        const Pack<COUNT> g_pack = load<COUNT>(g + i), pack = load<COUNT>(x + i);
        Position at(i, inner, length);
        #pragma unroll
        for (int k = 0; k < COUNT; ++k, at.step()) {
            const Acc h = Acc(g_pack.at[k]) * (weight ? Acc(weight[at.channel]) : Acc(1));
            total += h;
            product += h * ((Acc(pack.at[k]) - mean) * rstd);
        }
    }
    total = block_sum(total) / length;
    product = block_sum(product) / length;
    for (int i = COUNT * threadIdx.x; i < length; i += COUNT * blockDim.x) {
        const Pack<COUNT> g_pack = load<COUNT>(g + i);
        Pack<COUNT> pack = load<COUNT>(x + i);
        Position at(i, inner, length);
        #pragma unroll
        for (int k = 0; k < COUNT; ++k, at.step()) {
            const Acc h = Acc(g_pack.at[k]) * (weight ? Acc(weight[at.channel]) : Acc(1));
            pack.at[k] = T(rstd * (h - total - (Acc(pack.at[k]) - mean) * rstd * product));
        }
        store(g_x + i, pack);
    }
}

extern "C" __global__ void group_normalize_grad(const T* g, const T* x, const Acc* mean,
                                                const Acc* rstd, const T* weight, int length,
                                                int inner, int groups, T* g_x) {
    const int row = blockIdx.x, channel = row % groups * (length / inner);
    const bool in_packs = length % WIDTH == 0 && aligned(g, x, g_x);
    g += row * (long long)length;
    x += row * (long long)length;
    g_x += row * (long long)length;
    weight = weight ? weight + channel : weight;
    if (in_packs) {
        normalize_row_grad<WIDTH>(g, x, mean[row], rstd[row], weight, length, inner, g_x);
    } else {
        normalize_row_grad<1>(g, x, mean[row], rstd[row], weight, length, inner, g_x);
    }
}

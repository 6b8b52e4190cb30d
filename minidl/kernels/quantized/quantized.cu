// Layers of 8-bit integers with 32-bit sums. Four channels of a pixel are one word of signed bytes,
// and so are four weights: __dp4a adds their products. All that is done with floats has its rounding
// in its name, so that the results are the reference's to the last bit.
#include "number.cuh"
#include "divisor.cuh"

const int THREADS = 256;

// The thread's number in the grid. The launcher keeps all numbers below 2^31.
__device__ int thread_number() { return blockIdx.x * THREADS + threadIdx.x; }

// The integer that x stands for; NaN becomes -128.
__device__ int quantized(float x, float scale, float zero) {
    float q = __fadd_rn(rintf(__fdiv_rn(x, scale)), zero);
    return q > -128.f ? int(fminf(q, 127.f)) : -128;
}

struct Pixels {
    Divisor size, blocks;  // of a plane, and of the words for the channels of a group
    int group;             // channels
};

// The words of x: each thread makes one.
extern "C" __global__ void __launch_bounds__(THREADS)
pack_pixels(const float* x, const float* scale, const signed char* zero_point, int* words,
            Pixels at, int count) {
    int number = thread_number();
    if (number >= count) return;
    int plane = at.size.quotient(number), place = at.size.remainder(number, plane);
    int outer = at.blocks.quotient(plane), block = at.blocks.remainder(plane, outer);
    unsigned word = 0;
    for (int byte = 0; byte < 4; byte++) {
        int channel = 4 * block + byte;
        if (channel >= at.group) break;  // its weights are 0
        float value = x[(outer * at.group + channel) * int(at.size.number) + place];
        unsigned q = quantized(value, *scale, float(*zero_point));
        word |= (q & 255u) << 8 * byte;
    }
    words[number] = int(word);
}

// The words of the filters w (o, group, taps) as (block, tap, o), and the sums of their weights.
extern "C" __global__ void __launch_bounds__(THREADS)
pack_filters(const signed char* w, int* words, int* sums, int group, int taps, int filters) {
    int o = thread_number();
    if (o >= filters) return;
    int total = 0, blocks = (group + 3) / 4;
    for (int block = 0; block < blocks; block++) {
        for (int tap = 0; tap < taps; tap++) {
            unsigned word = 0;
            for (int byte = 0; byte < 4; byte++) {
                int channel = 4 * block + byte;
                if (channel >= group) break;
                int weight = w[(o * group + channel) * taps + tap];
                total += weight;
                word |= (unsigned(weight) & 255u) << 8 * byte;
            }
            words[(block * taps + tap) * filters + o] = int(word);
        }
    }
    sums[o] = total;
}

struct Layer {
    Divisor width, height, filters, per_group;  // of the result
    int size[2], kernel[2], stride[2], padding[2], dilation[2];
    int blocks, groups;
};

// One number of y (n, o, height, width) for each thread.
extern "C" __global__ void __launch_bounds__(THREADS)
correlate(const int* pixels, const int* words, const int* sums, const float* scale,
          const signed char* zero_point, const float* w_scale, int scales, const float* bias,
          float* y, Layer at, int relu, int count) {
    int number = thread_number();
    if (number >= count) return;
    int line = at.width.quotient(number), j = at.width.remainder(number, line);
    int plane = at.height.quotient(line), i = at.height.remainder(line, plane);
    int n = at.filters.quotient(plane), o = at.filters.remainder(plane, n);
    int zero = *zero_point, filters = int(at.filters.number);
    int outside = int((unsigned(zero) & 255u) * 0x01010101u);
    int first = (n * at.groups + at.per_group.quotient(o)) * at.blocks;
    int taps = at.kernel[0] * at.kernel[1], total = 0;
    for (int block = 0; block < at.blocks; block++) {
        const int* picture = pixels + (first + block) * at.size[0] * at.size[1];
        const int* weights = words + block * taps * filters + o;
        for (int r = 0; r < at.kernel[0]; r++) {
            int row = i * at.stride[0] + r * at.dilation[0] - at.padding[0];
            for (int s = 0; s < at.kernel[1]; s++) {
                int column = j * at.stride[1] + s * at.dilation[1] - at.padding[1];
                bool inside = unsigned(row) < unsigned(at.size[0]) &&
                              unsigned(column) < unsigned(at.size[1]);
                int pixel = inside ? picture[row * at.size[1] + column] : outside;
                total = __dp4a(pixel, weights[(r * at.kernel[1] + s) * filters], total);
            }
        }
    }
    float factor = __fmul_rn(*scale, w_scale[scales > 1 ? o : 0]);
    float value = __fmul_rn(__int2float_rn(total - zero * sums[o]), factor);
    if (bias) value = __fadd_rn(value, bias[o]);
    y[number] = relu && value <= 0.f ? 0.f : value;
}

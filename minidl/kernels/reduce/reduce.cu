// Reductions over any axes. A block has a number of outputs, and `lanes` threads for each.
//
// Neighbouring threads read neighbours in memory: either the lanes of one output or, where its
// elements lie apart, the same lane of neighbouring outputs. Where there are too few outputs to
// keep a GPU at work, blockIdx.y takes a part of the elements, and a second launch reduces what
// all parts have found.
#include "reduce.cuh"
#include "divisor.cuh"
#include "vector.cuh"

const int THREADS = 256;

// The array as two axes that are kept and two that are reduced, the outer and the inner one.
struct Layout {
    long long kept[2], reduced[2];  // strides
    Divisor per_kept, per_reduced;  // by the size of the inner axis
    int outputs, count, part_size;  // numbers of elements: reduced per output, and per part of it
    int lanes;                      // a power of two
    int along_reduced;              // whether neighbouring threads are the lanes of an output
    int in_packs;                   // whether those read several elements at once

    __device__ long long start(int output) const {
        int outer = per_kept.quotient(output);
        return outer * kept[0] + per_kept.remainder(output, outer) * kept[1];
    }
    __device__ long long offset(int k) const {
        int outer = per_reduced.quotient(k);
        return outer * reduced[0] + per_reduced.remainder(k, outer) * reduced[1];
    }
};

template <class In>
struct __align__(16) Line {
    static const int SIZE = 16 / sizeof(In);
    In at[SIZE];
};

// What one lane finds in its part of one output's elements.
template <class Operation, class In>
__device__ Acc of_lane(const In* x, const Layout& at, int lane) {
    Acc found = Operation::template identity<Acc>();
    int begin = blockIdx.y * at.part_size, end = min(begin + at.part_size, at.count);
    if (at.in_packs && aligned(x)) {
        const int size = Line<In>::SIZE;
#pragma unroll 4
        for (int k = begin + lane * size; k < end; k += at.lanes * size) {
            Line<In> line = *reinterpret_cast<const Line<In>*>(x + at.offset(k));
#pragma unroll
            for (int i = 0; i < size; i++) found = Operation::combine(found, Acc(line.at[i]));
        }
    } else {
#pragma unroll 4
        for (int k = begin + lane; k < end; k += at.lanes) {
            found = Operation::combine(found, Acc(x[at.offset(k)]));
        }
    }
    return found;
}

// Stores what it finds in parts (outputs, parts), or if that is null, over the divisor, in result.
template <class Operation, class In>
__device__ void reduce(const In* x, Acc* parts, T* result, Acc divisor, const Layout& at) {
    __shared__ Acc found[THREADS];  // (lanes, outputs)
    int outputs = THREADS / at.lanes;
    int lane = at.along_reduced ? threadIdx.x % at.lanes : threadIdx.x / outputs;
    int mine = at.along_reduced ? threadIdx.x / at.lanes : threadIdx.x % outputs;
    int output = blockIdx.x * outputs + mine, place = lane * outputs + mine;
    bool exists = output < at.outputs;
    found[place] = exists ? of_lane<Operation>(x + at.start(output), at, lane) : Acc(0);
    for (int half = at.lanes / 2; half > 0; half /= 2) {
        __syncthreads();
        if (lane < half) {
            found[place] = Operation::combine(found[place], found[place + half * outputs]);
        }
    }
    if (!exists || lane > 0) return;
    if (parts) {
        parts[output * (long long)gridDim.y + blockIdx.y] = found[place];
    } else {
        result[output] = T(found[place] / divisor);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
reduce_sum(const T* x, Acc* parts, T* result, Acc divisor, Layout at) {
    reduce<Sum>(x, parts, result, divisor, at);
}

extern "C" __global__ void __launch_bounds__(THREADS)
reduce_max(const T* x, Acc* parts, T* result, Acc divisor, Layout at) {
    reduce<Max>(x, parts, result, divisor, at);
}

extern "C" __global__ void __launch_bounds__(THREADS)
reduce_min(const T* x, Acc* parts, T* result, Acc divisor, Layout at) {
    reduce<Min>(x, parts, result, divisor, at);
}

// The second launch.

extern "C" __global__ void __launch_bounds__(THREADS)
sum_of_parts(const Acc* parts, T* result, Acc divisor, Layout at) {
    reduce<Sum>(parts, nullptr, result, divisor, at);
}

extern "C" __global__ void __launch_bounds__(THREADS)
max_of_parts(const Acc* parts, T* result, Acc divisor, Layout at) {
    reduce<Max>(parts, nullptr, result, divisor, at);
}

extern "C" __global__ void __launch_bounds__(THREADS)
min_of_parts(const Acc* parts, T* result, Acc divisor, Layout at) {
    reduce<Min>(parts, nullptr, result, divisor, at);
}

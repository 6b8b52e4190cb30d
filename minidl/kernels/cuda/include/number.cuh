// The element type T of a kernel (-DELEMENT=...), and Acc, the type that its sums are kept in.
#pragma once
#include <cuda_fp16.h>

template <class Number> struct Accumulator { typedef float type; };
template <> struct Accumulator<double> { typedef double type; };

#ifdef ELEMENT
typedef ELEMENT T;
typedef Accumulator<T>::type Acc;
#endif

// The threads of a one-dimensional grid walk over n elements; a long index for large arrays.
#define FOR_EACH(i, n)                                                                     \
    for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < (n);          \
         i += (long long)gridDim.x * blockDim.x)

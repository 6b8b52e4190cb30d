// Consecutive elements that are read or written in one instruction.
#pragma once
#include "number.cuh"

template <int COUNT>
struct __align__(COUNT * sizeof(T) < 16 ? COUNT * sizeof(T) : 16) Pack { T at[COUNT]; };

constexpr int WIDTH = 16 / sizeof(T);  // elements in the widest access there is

template <int COUNT>
__device__ __forceinline__ Pack<COUNT> load(const T* from) {
    return *reinterpret_cast<const Pack<COUNT>*>(from);
}

template <int COUNT>
__device__ __forceinline__ void store(T* to, const Pack<COUNT>& pack) {
    *reinterpret_cast<Pack<COUNT>*>(to) = pack;
}

// Whether packs can be read from all these addresses: slices of an array may begin anywhere.
template <class... Element>
__device__ __forceinline__ bool aligned(const Element*... address) {
    return ((size_t(address) | ...) % 16) == 0;
}

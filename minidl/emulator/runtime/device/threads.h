// What threads of a block and lanes of a warp do together.
#pragma once

#define __syncthreads() emulator_barrier(__FILE__, __LINE__, __COUNTER__)
#define __syncthreads_count(predicate) \
    emulator_barrier_count(bool(predicate), __FILE__, __LINE__, __COUNTER__)
#define __syncthreads_or(predicate) (__syncthreads_count(predicate) > 0)
#define __syncthreads_and(predicate) (__syncthreads_count(!(predicate)) == 0)

EMULATOR_INLINE void __syncwarp(unsigned mask = 0xffffffff) { emulator_warp_barrier(mask, 1); }

template <class T> EMULATOR_INLINE T emulator_shuffle(unsigned mask, T value, unsigned source) {
    emulator_exchange(mask, &value, sizeof(T), source);
    return value;
}

// A segment is `width` lanes, a power of two; lanes whose source lies outside keep their value.
template <class T>
EMULATOR_INLINE T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
    unsigned first = emulator_lane() & -width;
    return emulator_shuffle(mask, value, first | (source & (width - 1)));
}
template <class T>
EMULATOR_INLINE T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32) {
    unsigned lane = emulator_lane();
    return emulator_shuffle(mask, value, (lane & (width - 1)) >= delta ? lane - delta : lane);
}
template <class T>
EMULATOR_INLINE T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32) {
    unsigned lane = emulator_lane();
    bool inside = (lane & (width - 1)) + delta < unsigned(width);
    return emulator_shuffle(mask, value, inside ? lane + delta : lane);
}
template <class T>
EMULATOR_INLINE T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32) {
    unsigned lane = emulator_lane(), source = lane ^ lane_mask;
    return emulator_shuffle(mask, value, source <= (lane | (width - 1)) ? source : lane);
}

EMULATOR_INLINE unsigned __ballot_sync(unsigned mask, int predicate) {
    return emulator_ballot(mask, predicate);
}
EMULATOR_INLINE int __any_sync(unsigned mask, int predicate) {
    return emulator_ballot(mask, predicate) != 0;
}
EMULATOR_INLINE int __all_sync(unsigned mask, int predicate) {
    return emulator_ballot(mask, predicate) == mask;
}

// Threads run until they wait, so the active lanes are not known: the calling one is.
EMULATOR_INLINE unsigned __activemask() { return 1u << emulator_lane(); }

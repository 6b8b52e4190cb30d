// CUDA C for g++ and clang++. It is included before every kernel's source.
//
// `__global__`, `__launch_bounds__` and `__shared__` are not defined here: translation.py replaces
// them.
#pragma once
#define MINIDL_EMULATOR 1

#include "../interface.h"
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <type_traits>
#include <utility>

#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __align__(n) __attribute__((aligned(n)))
#define __CUDACC__ 1
#define __CUDA_ARCH__ 900

// Functions of this header take the kernel's line in messages, so they must melt into it.
#define EMULATOR_INLINE inline __attribute__((always_inline))

#define threadIdx emulator_position.thread
#define blockIdx emulator_position.block
#define blockDim emulator_position.block_size
#define gridDim emulator_position.grid_size
#define warpSize 32

#undef assert
#define assert(condition) \
    ((condition) ? (void)0 : emulator_assertion(#condition, __FILE__, __LINE__))
#define __trap() emulator_assertion("__trap()", __FILE__, __LINE__)
#define __assume(condition) ((void)0)
#define __builtin_assume(condition) ((void)0)

#include "vectors.h"
#include "arithmetic.h"
#include "half.h"
#include "threads.h"
#include "memory.h"
#include "kernel.h"

// What the compiled kernels and the runtime know of each other.
#pragma once
#include <stddef.h>
#include <stdint.h>

struct uint3 { unsigned x, y, z; };

struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
    dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
};

#define EMULATOR_EXPORT extern "C" __attribute__((visibility("default")))

// One parameter of a kernel; kind is 'p' for a pointer, 'i' and 'f' for integers and floating-point
// numbers, 's' for a structure.
struct EmulatorParameter { unsigned size; char kind; };

struct EmulatorKernel {
    void (*call)(void* const* arguments);
    const EmulatorParameter* parameters;
    unsigned count;
    unsigned most_threads;  // of a block: what __launch_bounds__ says
};

// Where the running thread is: constant to the kernel that reads it, so that the compiler may keep
// it in a register.
#ifndef EMULATOR_RUNTIME
#define EMULATOR_RUNTIME const
#endif
struct EmulatorPosition { uint3 thread, block, block_size, grid_size; };

#pragma GCC visibility push(default)
extern "C" {
extern EMULATOR_RUNTIME EmulatorPosition emulator_position;

void emulator_barrier(const char* file, int line, int site);
int emulator_barrier_count(int predicate, const char* file, int line, int site);

// Warp exchange: a call ends when all lanes in `mask` have made it.
unsigned emulator_lane();
unsigned emulator_ballot(unsigned mask, int predicate);
void emulator_exchange(unsigned mask, void* value, size_t size, unsigned source_lane);
void emulator_warp_barrier(unsigned mask, int fence);  // fence: it orders memory, as __syncwarp
void* emulator_mailbox(unsigned lane);                 // 64 bytes of that lane of this warp

void* emulator_dynamic_shared();
void emulator_atomic(const void* address, size_t size);
void emulator_fence();  // __threadfence
[[noreturn]] void emulator_assertion(const char* text, const char* file, int line);
}
#pragma GCC visibility pop

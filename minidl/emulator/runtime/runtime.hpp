// The parts of the runtime and what they know of each other.
//
//   context.cpp    a stack of its own for every CUDA thread, and the way from one to another
//   scheduler.cpp  runs the threads of one block after another, barriers, whole launches
//   warp.cpp       exchange among the lanes of a warp
//   checker.cpp    bounds, races and uninitialised shared memory, with areas.cpp and order.cpp
//   hooks.cpp      what compiled kernels call before they touch memory
//   report.cpp     what is known of an error, for Python to tell
#pragma once
#define EMULATOR_RUNTIME  // what is constant to kernels
#include "interface.h"

namespace emulator {

const unsigned WARP = 32, MOST_THREADS = 1024, MOST_WARPS = MOST_THREADS / WARP;

// ---- context.cpp

struct Context { void* stack_pointer; };

const size_t STACK_SIZE = 128 << 10;

char* stack_of(unsigned index);  // its lowest byte
void prepare(Context& context, char* stack, void (*entry)());
void change(Context& from, Context& to);

// ---- scheduler.cpp

enum State { READY, AT_BARRIER, IN_WARP, EXITED };

// Where a waiting thread stands, for messages.
struct Place {
    const char* file = nullptr;  // of a barrier
    int line = 0, site = 0;
    void** frame = nullptr;  // of the runtime's function that the kernel called
};

struct Thread {
    Context context;
    char* stack;  // null until it starts
    State state;
    unsigned number, lane, warp;
    uint3 index;
    int predicate, count;  // of a barrier or a vote, and its result
    Place place;
    // a warp operation
    unsigned mask;
    int operation;
    void* value;
    size_t size;
    unsigned source;
};

enum Memory { GLOBAL, SHARED, GUARD };  // guard: the compiler's own, beside the shared variables

struct Region {  // memory that a kernel may touch; mirrored in launch.py
    uintptr_t begin, end;  // addresses; of shared variables and guards, offsets in their memory
    uint32_t memory, writable;
};

enum Order { FORWARD, REVERSE, RANDOM };

struct Launch {  // mirrored in launch.py
    uint32_t grid[3], block[3];
    uint64_t dynamic_shared;
    const EmulatorKernel* kernel;
    void* const* arguments;
    char* (*anchor)();
    const Region* regions;
    uint32_t region_count;
    uint32_t checked, order, seed;
};

extern Launch launch;
extern Thread threads[MOST_THREADS];
extern Thread* running;  // null outside kernels
extern unsigned thread_count;

void wait(State state);  // of the running thread; returns when it is READY again
[[noreturn]] void abandon_launch();

struct Extent { uintptr_t begin, end; };
Extent static_shared();
Extent dynamic_shared();
Extent module_memory();  // code and data of the kernel's library
unsigned block_number();

// ---- warp.cpp

void begin_warps();
bool missing_lanes(const Thread& thread, char* text, size_t size);
void* mailboxes(size_t& size);

// ---- checker.cpp and order.cpp

enum Access { READ, WRITE, ATOMIC };

void begin_checks();
void check_block_begins();
void check_barrier();
void check_warp_barrier(unsigned warp, unsigned mask);
void check_fence();
void check(const void* address, size_t size, Access access, void** frame);

// ---- report.cpp

enum Kind {  // mirrored in report.py
    NONE, OUT_OF_BOUNDS, READ_ONLY, MISALIGNED, RACE, UNINITIALISED, DIVERGENT_BARRIER, ABSENT_LANE,
    ARITHMETIC, ASSERTION, INDEX
};

struct Report {  // mirrored in report.py
    uint32_t kind;
    uint32_t block[3], thread[3];
    uint32_t access, size;
    uint64_t address;
    uint32_t other_known, other_access, other_block[3], other_thread[3];
    uint64_t other_place;  // like the following, an offset in the kernel's library
    uint64_t places[16];
    uint64_t static_shared[2], dynamic_shared[2];  // begin and end
    uint32_t place_count;
    int32_t line;
    char file[256], text[512];
};

extern Report report;

void begin_report(Kind kind, const Thread& thread, void** frame);
void set_text(const char* format, ...) __attribute__((format(printf, 1, 2)));
void set_place(const char* file, int line);
[[noreturn]] void fail();  // the report on the running thread is complete

// the frame of the function that this stands in, which the kernel called
#define EMULATOR_FRAME ((void**)__builtin_frame_address(0))

}  // namespace emulator

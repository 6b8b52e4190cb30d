// Runs the threads of a block, each until it waits or ends; blocks one after another.
//
// Nothing interrupts a thread, so a launch with the same order and seed always does the same.
#include "runtime.hpp"

#include <link.h>
#include <stdio.h>
#include <string.h>
#include <algorithm>
#include <numeric>
#include <vector>

EmulatorPosition emulator_position;

namespace emulator {

Launch launch;
Thread threads[MOST_THREADS];
Thread* running;
unsigned thread_count;

static Context scheduler;
static bool abandoned;
static unsigned living, waiting;  // threads of the block; waiting: at the barrier
static Thread* first_at_barrier;
static unsigned block;  // its number in the grid, x fastest

unsigned block_number() { return block; }

// ---- Random orders

static uint32_t random_state;

static uint32_t random_below(uint32_t bound) {
    random_state = random_state * 1664525u + 1013904223u;
    return uint64_t(random_state) * bound >> 32;
}

static void arrange(std::vector<unsigned>& order) {
    if (launch.order == REVERSE) std::reverse(order.begin(), order.end());
    if (launch.order == RANDOM) {
        for (size_t i = order.size(); i > 1; i--) std::swap(order[i - 1], order[random_below(i)]);
    }
}

static std::vector<unsigned> numbers(unsigned count) {
    std::vector<unsigned> order(count);
    std::iota(order.begin(), order.end(), 0u);
    arrange(order);
    return order;
}

// ---- Shared memory

// Dynamic shared memory always lies at the same place, so that a pointer to it may be global.
static const size_t MOST_SHARED = 228 << 10;
alignas(1024) static char dynamic_memory[MOST_SHARED];

Extent dynamic_shared() {
    return {(uintptr_t)dynamic_memory, (uintptr_t)dynamic_memory + launch.dynamic_shared};
}

struct Library {
    char* anchor;
    Extent memory = {UINTPTR_MAX, 0}, shared = {0, 0};
    char* (*function)();
};

static bool holds(const dl_phdr_info& info, uintptr_t address) {
    for (int i = 0; i < info.dlpi_phnum; i++) {
        uintptr_t begin = info.dlpi_addr + info.dlpi_phdr[i].p_vaddr;
        size_t size = info.dlpi_phdr[i].p_memsz;
        if (info.dlpi_phdr[i].p_type == PT_LOAD && address - begin < size) return true;
    }
    return false;
}

// The library's segments, if it is the one that holds the anchor's function.
static int examine(dl_phdr_info* info, size_t, void* found) {
    Library& library = *(Library*)found;
    if (!holds(*info, (uintptr_t)library.function)) return 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const auto& header = info->dlpi_phdr[i];
        uintptr_t begin = info->dlpi_addr + header.p_vaddr;
        if (header.p_type == PT_LOAD) {
            library.memory.begin = std::min(library.memory.begin, begin);
            library.memory.end = std::max(library.memory.end, begin + header.p_memsz);
        } else if (header.p_type == PT_TLS) {
            uintptr_t data = (uintptr_t)info->dlpi_tls_data;
            library.shared = {data, data + header.p_memsz};
        }
    }
    return 1;
}

static Library library;

// Where this host thread has the kernel's library and its thread-local, i.e. shared, memory.
static void find_library() {
    char* anchor = launch.anchor();
    if (anchor == library.anchor && launch.anchor == library.function) return;
    library = Library();
    library.anchor = anchor;
    library.function = launch.anchor;
    dl_iterate_phdr(examine, &library);
}

Extent static_shared() { return library.shared; }
Extent module_memory() { return library.memory; }

static void poison_shared() {
    memset(dynamic_memory, 0xff, launch.dynamic_shared);
    memset((void*)library.shared.begin, 0xff, library.shared.end - library.shared.begin);
}

// ---- Threads

static std::vector<char*> free_stacks;

static void run_thread() {
    launch.kernel->call(launch.arguments);
    running->state = EXITED;
    change(running->context, scheduler);
    __builtin_unreachable();
}

void wait(State state) {
    Thread& me = *running;
    me.state = state;
    change(me.context, scheduler);
}

void abandon_launch() {
    abandoned = true;
    change(running->context, scheduler);
    __builtin_unreachable();
}

static void resume(Thread& thread) {
    if (!thread.stack) {
        // the stack that was used last: of a kernel without barriers all threads use the same
        thread.stack = free_stacks.back();
        free_stacks.pop_back();
        prepare(thread.context, thread.stack, run_thread);
    }
    running = &thread;
    emulator_position.thread = thread.index;
    change(scheduler, thread.context);
    if (thread.state == EXITED) {
        free_stacks.push_back(thread.stack);
        living--;
    }
}

// ---- Barriers

static void release_barrier() {
    int count = 0;
    for (unsigned i = 0; i < thread_count; i++) count += threads[i].predicate;
    for (unsigned i = 0; i < thread_count; i++) {
        threads[i].count = count;
        threads[i].state = READY;
    }
    waiting = 0;
    check_barrier();
}

static int arrive(int predicate, const Place& place) {
    Thread& me = *running;
    me.place = place;
    me.predicate = predicate;
    if (waiting++ == 0) first_at_barrier = &me;
    const Place& first = first_at_barrier->place;
    if (first.site != place.site) {
        begin_report(DIVERGENT_BARRIER, me, place.frame);
        set_place(place.file, place.line);
        uint3 other = first_at_barrier->index;
        set_text("this thread waits at one __syncthreads, thread (%u, %u, %u) of its block at "
                 "another, %s:%d", other.x, other.y, other.z, first.file, first.line);
        fail();
    }
    if (waiting < thread_count) {
        wait(AT_BARRIER);
    } else {
        release_barrier();
    }
    return me.count;
}

// No thread can go on.
static void report_deadlock() {
    for (unsigned i = 0; i < thread_count; i++) {
        if (threads[i].state != IN_WARP) continue;
        begin_report(ABSENT_LANE, threads[i], threads[i].place.frame);
        if (missing_lanes(threads[i], report.text, sizeof report.text)) return;
    }
    begin_report(DIVERGENT_BARRIER, *first_at_barrier, first_at_barrier->place.frame);
    set_place(first_at_barrier->place.file, first_at_barrier->place.line);
    set_text("%u threads of the block wait at __syncthreads, %u have left the kernel",
             living, thread_count - living);
}

// ---- Blocks

static void begin_block() {
    living = thread_count;
    waiting = 0;
    for (unsigned i = 0; i < thread_count; i++) {
        threads[i].state = READY;
        threads[i].stack = nullptr;
    }
    poison_shared();
    begin_warps();
    if (launch.checked) check_block_begins();
}

static void run_block(std::vector<unsigned>& order) {
    begin_block();
    while (living) {
        bool progress = false;
        for (unsigned number : order) {
            if (threads[number].state != READY) continue;
            resume(threads[number]);
            if (abandoned) return;
            progress = true;
        }
        if (living && !progress) {
            report_deadlock();
            abandoned = true;
            return;
        }
        if (living && launch.order == RANDOM) arrange(order);
    }
}

static void run_blocks() {
    const uint32_t* grid = launch.grid;
    unsigned count = grid[0] * grid[1] * grid[2];
    std::vector<unsigned> blocks, order = numbers(thread_count);
    if (launch.order == RANDOM) blocks = numbers(count);
    for (unsigned i = 0; i < count && !abandoned; i++) {
        block = blocks.empty() ? (launch.order == REVERSE ? count - 1 - i : i) : blocks[i];
        unsigned x = block % grid[0], y = block / grid[0] % grid[1];
        emulator_position.block = {x, y, block / grid[0] / grid[1]};
        run_block(order);
    }
}

static void begin_launch() {
    const uint32_t* size = launch.block;
    emulator_position.grid_size = {launch.grid[0], launch.grid[1], launch.grid[2]};
    emulator_position.block_size = {size[0], size[1], size[2]};
    thread_count = size[0] * size[1] * size[2];
    for (unsigned i = 0; i < thread_count; i++) {
        Thread& thread = threads[i];
        thread.number = i;
        thread.lane = i % WARP;
        thread.warp = i / WARP;
        thread.index = {i % size[0], i / size[0] % size[1], i / size[0] / size[1]};
    }
    free_stacks.clear();
    for (unsigned i = thread_count; i > 0; i--) free_stacks.push_back(stack_of(i - 1));
    random_state = launch.seed;
    abandoned = false;
    report.kind = NONE;
    find_library();
    if (launch.checked) begin_checks();
}

}  // namespace emulator

using namespace emulator;

// Runs a kernel; what is wrong with it, if anything, is then in the report. The caller has checked
// the launch's numbers, and sees to it that there is one launch at a time.
EMULATOR_EXPORT const Report* emulator_launch(const Launch* wanted) {
    launch = *wanted;
    begin_launch();
    run_blocks();
    running = nullptr;
    fflush(stdout);  // what kernels print
    return &report;
}

EMULATOR_EXPORT void emulator_barrier(const char* file, int line, int site) {
    arrive(0, {file, line, site, EMULATOR_FRAME});
}

EMULATOR_EXPORT int emulator_barrier_count(int predicate, const char* file, int line, int site) {
    return arrive(predicate, {file, line, site, EMULATOR_FRAME});
}

EMULATOR_EXPORT void* emulator_dynamic_shared() { return dynamic_memory; }

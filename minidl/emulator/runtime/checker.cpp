// Who touched which byte when: bounds, races and uninitialised shared memory.
//
// For every two bytes of memory a cell knows the last reads and the last writes: their time, the
// threads, and the place in the program. Two accesses to a byte, one of them a write, are a race
// unless both are atomic or something orders them; order.cpp knows what does.
#include "checker.hpp"

#include <string.h>
#include <algorithm>

namespace emulator {

// One access, by the running thread.
struct Touch {
    const Area& area;
    uintptr_t address;
    size_t size;
    Access access;
    void** frame;
    uint32_t place;
    unsigned lane, warp, bytes;  // bytes: of the grain, one bit each
    uint16_t clock;
    const uint16_t* seen;
};

// Shared memory has a new life in every block, global memory in every launch.
static bool is_current(const Accesses& old, const Touch& touch) {
    return old.time >= (touch.area.shared ? block_began : launch_began);
}

// Whether nothing orders the old accesses before the touch.
static bool are_unordered(const Accesses& old, const Touch& touch) {
    if (!is_current(old, touch) || !(old.bytes & touch.bytes)) return false;
    if (old.time < block_began) return !is_known(old.time);
    if (old.other_blocks) return !anything_published();
    if (old.time < now) return false;
    if (old.many_warps || old.warp != touch.warp) return true;
    for (uint32_t others = old.lanes & ~(1u << touch.lane); others; others &= others - 1) {
        if (old.clock >= touch.seen[__builtin_ctz(others)]) return true;
    }
    return false;
}

// The touch joins the accesses that nothing orders before it, and replaces all others.
static void record(Accesses& old, const Touch& touch) {
    Accesses mine = {};
    mine.time = now;
    mine.place = touch.place;
    mine.lanes = 1u << touch.lane;
    mine.clock = touch.clock;
    mine.warp = uint8_t(touch.warp);
    mine.atomic = touch.access == ATOMIC;
    mine.bytes = mine.initialised = touch.bytes;
    if (is_current(old, touch)) {
        mine.initialised |= old.initialised;
        if (old.bytes == touch.bytes && are_unordered(old, touch)) {
            mine.other_blocks = old.other_blocks || old.time < block_began;
            if (old.time == now) {
                bool same_warp = old.warp == touch.warp;
                mine.many_warps = old.many_warps || !same_warp;
                if (same_warp) {
                    mine.lanes |= old.lanes;
                    mine.clock = std::min(mine.clock, old.clock);
                }
            }
        }
    }
    old = mine;
}

// ---- Reports

static void begin_report(Kind kind, uintptr_t address, size_t size, Access access, void** frame) {
    begin_report(kind, *running, frame);
    report.address = address;
    report.size = uint32_t(size);
    report.access = access;
}

static void begin_report(Kind kind, const Touch& touch) {
    begin_report(kind, touch.address, touch.size, touch.access, touch.frame);
}

[[noreturn]] static void fail_of_race(const Touch& touch, const Accesses& old, Access access) {
    begin_report(RACE, touch);
    uint32_t others = old.lanes;
    if (old.time >= block_began && old.warp == touch.warp) others &= ~(1u << touch.lane);
    unsigned number = old.warp * WARP + (others ? __builtin_ctz(others) : 0);
    unsigned block = block_at(old.time), x = launch.grid[0], y = launch.grid[1];
    uint3 where = {block % x, block / x % y, block / x / y};
    report.other_known = others != 0;
    report.other_access = old.atomic ? ATOMIC : access;
    report.other_place = old.place;
    memcpy(report.other_block, &where, sizeof where);
    memcpy(report.other_thread, &threads[number].index, sizeof report.other_thread);
    fail();
}

// ---- Checks

static void check_cell(Cell& cell, const Touch& touch) {
    Access access = touch.access;
    if (touch.area.shared && access != WRITE) {
        unsigned known = is_current(cell.writes, touch) ? cell.writes.initialised : 0;
        if (touch.bytes & ~known) {
            begin_report(UNINITIALISED, touch);
            fail();
        }
    }
    bool both_atomic = access == ATOMIC && cell.writes.atomic;
    if (!both_atomic && are_unordered(cell.writes, touch)) fail_of_race(touch, cell.writes, WRITE);
    if (access != READ && are_unordered(cell.reads, touch)) fail_of_race(touch, cell.reads, READ);
    record(access == READ ? cell.reads : cell.writes, touch);
}

static bool is_in(uintptr_t address, const void* begin, size_t length) {
    return address - (uintptr_t)begin < length;
}

// What a kernel reads of the runtime itself: threadIdx and the like, the lanes' mailboxes, and
// its arguments, before they are its own variables.
static bool is_runtime(uintptr_t address) {
    size_t length;
    void* boxes = mailboxes(length);
    bool found = is_in(address, &emulator_position, sizeof emulator_position)
              || is_in(address, boxes, length);
    const EmulatorKernel& kernel = *launch.kernel;
    for (unsigned i = 0; i < kernel.count && !found; i++) {
        found = is_in(address, launch.arguments[i], kernel.parameters[i].size);
    }
    return found;
}

void check(const void* pointer, size_t size, Access access, void** frame) {
    uintptr_t address = (uintptr_t)pointer;
    // constructors that run when a library is loaded, and a thread's own variables
    if (!running || address - (uintptr_t)running->stack < STACK_SIZE) return;
    const Area* area = find_area(address, size);
    if (!area && is_runtime(address)) return;
    if (!area || (access != READ && !area->writable)) {
        begin_report(area ? READ_ONLY : OUT_OF_BOUNDS, address, size, access, frame);
        fail();
    }
    if (access == ATOMIC) order_atomic(pointer);
    uint32_t place = uint32_t((uintptr_t)frame[1] - module_memory().begin);
    Touch touch = {*area, address, size, access, frame, place, running->lane, running->warp, 0, 0,
                   nullptr};
    touch.seen = clocks_of_lane(*running, touch.clock);
    uintptr_t end = address + size;
    for (uintptr_t grain = address & ~(GRAIN - 1); grain < end; grain += GRAIN) {
        touch.bytes = (grain >= address ? 1 : 0) | (grain + 1 < end ? 2 : 0);
        check_cell(area->cell(grain), touch);
    }
}

}  // namespace emulator

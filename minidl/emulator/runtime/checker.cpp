// Who touched which byte when: bounds, races and uninitialised shared memory.
//
// Time is a number that grows with every barrier, block and launch. For every two bytes of memory
// there is a cell that knows the last reads and the last write: their time, the threads, and the
// place in the program. Two accesses to a byte, one of them a write, are a race unless something
// orders them: a barrier (an earlier time of the same block), a __syncwarp of both lanes (clocks,
// see below), or an atomic operation on either side. Other blocks of a launch are never ordered,
// except by a __threadfence and an atomic operation of both.
#include "runtime.hpp"

#include <string.h>
#include <sys/mman.h>
#include <algorithm>
#include <vector>

namespace emulator {

typedef uint32_t Time;

static const size_t GRAIN = 2;  // bytes of a cell: the size of a __half

// Accesses of one kind that nothing orders among each other.
struct Accesses {
    Time time;       // 0: none
    uint32_t place;  // of the last one, an offset in the kernel's library
    uint32_t lanes;  // of one warp
    uint16_t clock;  // the earliest of the lanes' clocks
    uint8_t warp;
    bool many_warps : 1, other_blocks : 1, atomic : 1;
    unsigned bytes : 2, initialised : 2;  // of the grain
};

struct Cell { Accesses reads, writes; };
static_assert(sizeof(Cell) == 32, "half a cache line");

// ---- Time

static Time now, launch_began, block_began;
static std::vector<Time> block_times;       // when each block began
static std::vector<unsigned> block_numbers;

// ---- Memory that the kernel may touch, and its cells

struct Area {
    uintptr_t begin, end;
    Cell* cells;
    bool writable, shared;
};

static std::vector<Area> areas;  // by address
static const size_t QUICK = 256;
static Area* quick[QUICK];  // the area where an address of this page was found last

static Cell* cell_memory;
static size_t cell_capacity;

// Cells need no clearing between launches: an old time says that nothing of it matters.
static void reserve_cells(size_t count) {
    if (count > cell_capacity || now > UINT32_MAX / 2) {
        if (cell_memory) munmap(cell_memory, cell_capacity * sizeof(Cell));
        cell_capacity = std::max(count, std::max(cell_capacity, size_t(1) << 20));
        int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
        void* memory = mmap(nullptr, cell_capacity * sizeof(Cell), PROT_READ | PROT_WRITE, flags, -1, 0);
        if (memory == MAP_FAILED) abort();
        cell_memory = (Cell*)memory;
        now = 0;
    }
}

static void add_area(Extent memory, bool writable, bool shared) {
    if (memory.begin < memory.end) areas.push_back({memory.begin, memory.end, nullptr, writable, shared});
}

static void collect_areas() {
    areas.clear();
    for (uint32_t i = 0; i < launch.region_count; i++) {
        const Region& region = launch.regions[i];
        uintptr_t base = region.memory == GLOBAL ? 0 : static_shared().begin;
        add_area({base + region.begin, base + region.end}, region.writable, region.memory == SHARED);
    }
    add_area(dynamic_shared(), true, true);
    add_area(module_memory(), true, false);
    std::sort(areas.begin(), areas.end(), [](const Area& a, const Area& b) { return a.begin < b.begin; });
    size_t count = 0;
    for (Area& area : areas) count += (area.end - area.begin) / GRAIN + 2;
    reserve_cells(count);
    Cell* next = cell_memory;
    for (Area& area : areas) {
        area.cells = next;
        next += (area.end - area.begin) / GRAIN + 2;
    }
    memset(quick, 0, sizeof quick);
}

static inline bool inside(const Area& area, uintptr_t address, size_t size) {
    return address >= area.begin && address + size <= area.end;
}

static Area* find_area(uintptr_t address, size_t size) {
    Area*& last = quick[address >> 12 & (QUICK - 1)];
    if (last && inside(*last, address, size)) return last;
    auto after = std::upper_bound(areas.begin(), areas.end(), address,
                                  [](uintptr_t a, const Area& area) { return a < area.begin; });
    if (after == areas.begin() || !inside(*(after - 1), address, size)) return nullptr;
    return last = &*(after - 1);
}

// ---- Order within a warp
//
// The lanes of a warp count their common barriers. A lane's clock is the number of the last that
// it took part in; `seen[a][b]` is the clock of lane b before which all that b did is known to a.

struct WarpClocks {
    Time time;  // of another time, all is 0
    uint16_t barriers, clock[WARP], seen[WARP][WARP];
};
static WarpClocks warp_clocks[MOST_WARPS];

static WarpClocks& clocks_of(unsigned warp) {
    WarpClocks& clocks = warp_clocks[warp];
    if (clocks.time != now) {
        memset(&clocks, 0, sizeof clocks);
        clocks.time = now;
    }
    return clocks;
}

void check_warp_barrier(unsigned warp, unsigned mask) {
    if (clocks_of(warp).barriers == UINT16_MAX) now++;  // takes too much for ordered, once in a while
    WarpClocks& clocks = clocks_of(warp);
    uint16_t number = ++clocks.barriers, known[WARP] = {};
    for (unsigned a = 0; a < WARP; a++) {
        if (!(mask >> a & 1)) continue;
        for (unsigned b = 0; b < WARP; b++) known[b] = std::max(known[b], clocks.seen[a][b]);
    }
    for (unsigned a = 0; a < WARP; a++) {
        if (mask >> a & 1) known[a] = number;
    }
    for (unsigned a = 0; a < WARP; a++) {
        if (!(mask >> a & 1)) continue;
        memcpy(clocks.seen[a], known, sizeof known);
        clocks.clock[a] = number;
    }
}

// ---- Order among blocks: an atomic operation after a __threadfence publishes what the block did
// before; an atomic operation of another block on the same number makes it known there.

struct Publication { const void* address; unsigned block; };  // block: index in block_times
static std::vector<Publication> publications;
static std::vector<bool> known_blocks;
static bool fenced;

static void order_blocks(const void* address) {
    for (const Publication& publication : publications) {
        if (publication.address == address) known_blocks[publication.block] = true;
    }
    if (fenced) publications.push_back({address, unsigned(block_times.size()) - 1});
    fenced = false;
}

static unsigned block_at(Time time) {
    auto after = std::upper_bound(block_times.begin(), block_times.end(), time);
    return unsigned(after - block_times.begin()) - 1;
}

static bool is_known(Time time) { return !publications.empty() && known_blocks[block_at(time)]; }

// ---- Races

struct Accessor {
    unsigned lane, warp, bytes;
    uint16_t clock;
    const WarpClocks* clocks;
};

static bool is_current(const Accesses& old, const Area& area) {
    return old.time >= (area.shared ? block_began : launch_began);
}

static bool are_unordered(const Accesses& old, const Area& area, const Accessor& me) {
    if (!is_current(old, area) || !(old.bytes & me.bytes)) return false;
    if (old.time < block_began) return !is_known(old.time);
    if (old.other_blocks) return publications.empty();
    if (old.time < now) return false;
    if (old.many_warps || old.warp != me.warp) return true;
    for (uint32_t others = old.lanes & ~(1u << me.lane); others; others &= others - 1) {
        if (old.clock >= me.clocks->seen[me.lane][__builtin_ctz(others)]) return true;
    }
    return false;
}

// The access joins those that nothing orders before it, and replaces the others.
static void record(Accesses& old, const Area& area, const Accessor& me, uint32_t place, bool atomic) {
    Accesses mine = {now, place, 1u << me.lane, me.clock, uint8_t(me.warp), false, false, atomic,
                     me.bytes, me.bytes};
    if (is_current(old, area)) {
        mine.initialised |= old.initialised;
        if (are_unordered(old, area, me) && old.bytes == me.bytes) {
            if (old.time < block_began) {
                mine.other_blocks = true;
            } else {
                mine.other_blocks = old.other_blocks;
                mine.many_warps = old.time == now && (old.many_warps || old.warp != me.warp);
                if (old.time == now && old.warp == me.warp) {
                    mine.lanes |= old.lanes;
                    mine.clock = std::min(mine.clock, old.clock);
                }
            }
        }
    }
    old = mine;
}

// ---- Reports

static void describe(Kind kind, uintptr_t address, size_t size, Access access, void** frame) {
    begin_report(kind, *running, frame);
    report.address = address;
    report.size = uint32_t(size);
    report.access = access;
}

static void describe_other(const Accesses& old, Access access) {
    unsigned block = block_numbers[block_at(old.time)], x = launch.grid[0], y = launch.grid[1];
    uint32_t others = old.warp == running->warp ? old.lanes & ~(1u << running->lane) : old.lanes;
    unsigned number = old.warp * WARP + __builtin_ctz(others ? others : old.lanes);
    report.other_known = others || !old.many_warps;
    report.other_access = old.atomic ? ATOMIC : access;
    report.other_place = old.place;
    report.other_block[0] = block % x;
    report.other_block[1] = block / x % y;
    report.other_block[2] = block / x / y;
    memcpy(report.other_thread, &threads[number].index, sizeof report.other_thread);
}

static bool is_exempt(uintptr_t address, size_t size) {
    size_t length;
    uintptr_t boxes = (uintptr_t)mailboxes(length);
    return address - boxes < length && size <= length;
}

// ---- What the other parts call

void begin_checks() {
    collect_areas();
    launch_began = ++now;
    block_times.clear();
    block_numbers.clear();
    publications.clear();
}

void check_block_begins() {
    block_began = ++now;
    block_times.push_back(now);
    block_numbers.push_back(block_number());
    known_blocks.assign(block_times.size(), false);
    fenced = false;
}

void check_barrier() { now++; }

static void check_cell(Cell& cell, const Area& area, const Accessor& me, uint32_t place,
                       uintptr_t address, size_t size, Access access, void** frame) {
    if (area.shared && access != WRITE) {
        unsigned initialised = is_current(cell.writes, area) ? cell.writes.initialised : 0;
        if (me.bytes & ~initialised) {
            describe(UNINITIALISED, address, size, access, frame);
            fail();
        }
    }
    bool write_race = are_unordered(cell.writes, area, me) && !(access == ATOMIC && cell.writes.atomic);
    if (write_race || (access != READ && are_unordered(cell.reads, area, me))) {
        describe(RACE, address, size, access, frame);
        describe_other(write_race ? cell.writes : cell.reads, write_race ? WRITE : READ);
        fail();
    }
    record(access == READ ? cell.reads : cell.writes, area, me, place, access == ATOMIC);
}

void check(const void* pointer, size_t size, Access access, void** frame) {
    uintptr_t address = (uintptr_t)pointer;
    // a thread's own variables, and constructors that run when the library is loaded
    if (!running || address - (uintptr_t)running->stack < STACK_SIZE) return;
    Area* area = find_area(address, size);
    if (!area) {
        if (is_exempt(address, size)) return;
        describe(OUT_OF_BOUNDS, address, size, access, frame);
        fail();
    }
    if (access != READ && !area->writable) {
        describe(READ_ONLY, address, size, access, frame);
        fail();
    }
    if (access == ATOMIC) order_blocks(pointer);
    WarpClocks& clocks = clocks_of(running->warp);
    Accessor me = {running->lane, running->warp, 0, clocks.clock[running->lane], &clocks};
    uint32_t place = uint32_t((uintptr_t)frame[1] - module_memory().begin);
    uintptr_t first = area->begin & ~(GRAIN - 1), end = address + size;
    for (uintptr_t grain = address & ~(GRAIN - 1); grain < end; grain += GRAIN) {
        me.bytes = (grain >= address ? 1 : 0) | (grain + 1 < end ? 2 : 0);
        check_cell(area->cells[(grain - first) / GRAIN], *area, me, place, address, size, access, frame);
    }
}

void check_fence() { fenced = true; }

}  // namespace emulator

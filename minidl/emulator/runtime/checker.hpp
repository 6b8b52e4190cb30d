// The parts of the checker: areas.cpp (what may be touched), order.cpp (what came before what),
// checker.cpp (who touched what).
#pragma once
#include "runtime.hpp"

namespace emulator {

// Grows with every barrier, block and launch.
typedef uint32_t Time;

// ---- order.cpp

extern Time now, launch_began, block_began;

const uint16_t* clocks_of_lane(const Thread& thread, uint16_t& own);
bool is_known(Time time);        // what another block did then
unsigned block_at(Time time);    // the number of the block that ran then
bool anything_published();
void order_atomic(const void* address);

// ---- areas.cpp

const size_t GRAIN = 2;  // bytes of a cell: the size of a __half

// Accesses of one kind to a grain that nothing orders among each other.
struct Accesses {
    Time time;       // 0: none
    uint32_t place;  // of the last one, an offset in the kernel's library
    uint32_t lanes;  // of one warp
    uint16_t clock;  // the earliest of the lanes' clocks
    uint8_t warp;
    bool many_warps : 1, other_blocks : 1, atomic : 1;
    unsigned bytes : 2, initialised : 2;  // one bit for each byte of the grain
};

struct Cell { Accesses reads, writes; };
static_assert(sizeof(Cell) == 32, "half a cache line");

struct Area {  // memory that the kernel may touch
    uintptr_t begin, end;
    Cell* cells;
    bool writable, shared;

    bool holds(uintptr_t address, size_t size) const {
        return address >= begin && address + size <= end;
    }
    Cell& cell(uintptr_t address) const {
        return cells[(address & ~(GRAIN - 1)) / GRAIN - begin / GRAIN];
    }
};

void collect_areas();
const Area* find_area(uintptr_t address, size_t size);  // null if no area holds all of it

}  // namespace emulator

// What a kernel may touch, and a cell for every two bytes of it that says who did.
#include "checker.hpp"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <algorithm>
#include <vector>

namespace emulator {

static std::vector<Area> areas;  // by address

// By page, the area where an address was found last.
static const size_t PAGES = 256;
static const Area* found[PAGES];

static void add(uintptr_t base, uintptr_t begin, uintptr_t end, bool writable, bool shared) {
    if (begin < end) areas.push_back({base + begin, base + end, nullptr, writable, shared});
}

static size_t cell_count(const Area& area) { return (area.end - area.begin) / GRAIN + 2; }

// Cells need no clearing between launches, for an old time in them says that nothing of it
// matters; but time must not run out.
static Cell* cells(size_t count) {
    static Cell* memory = nullptr;
    static size_t capacity = 0;
    if (count > capacity || now > UINT32_MAX / 2) {
        if (memory) munmap(memory, capacity * sizeof(Cell));
        capacity = std::max(std::max(count, capacity), size_t(1) << 20);
        int access = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
        void* reserved = mmap(nullptr, capacity * sizeof(Cell), access, flags, -1, 0);
        if (reserved == MAP_FAILED) abort();
        memory = (Cell*)reserved;
        now = 0;
    }
    return memory;
}

void collect_areas() {
    areas.clear();
    for (uint32_t i = 0; i < launch.region_count; i++) {
        const Region& region = launch.regions[i];
        uintptr_t base = region.memory == GLOBAL ? 0 : static_shared().begin;
        add(base, region.begin, region.end, region.writable, region.memory == SHARED);
    }
    add(0, dynamic_shared().begin, dynamic_shared().end, true, true);
    add(0, module_memory().begin, module_memory().end, true, false);
    std::sort(areas.begin(), areas.end(),
              [](const Area& a, const Area& b) { return a.begin < b.begin; });
    size_t count = 0;
    for (const Area& area : areas) count += cell_count(area);
    Cell* next = cells(count);
    for (Area& area : areas) {
        area.cells = next;
        next += cell_count(area);
    }
    memset(found, 0, sizeof found);
}

const Area* find_area(uintptr_t address, size_t size) {
    const Area*& last = found[address >> 12 & (PAGES - 1)];
    if (last && last->holds(address, size)) return last;
    auto after = std::upper_bound(areas.begin(), areas.end(), address,
                                  [](uintptr_t a, const Area& area) { return a < area.begin; });
    if (after == areas.begin() || !(after - 1)->holds(address, size)) return nullptr;
    return last = &*(after - 1);
}

}  // namespace emulator

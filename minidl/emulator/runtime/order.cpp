// What came before what: time, the clocks of a warp's lanes, and what blocks publish.
#include "checker.hpp"

#include <string.h>
#include <algorithm>
#include <vector>

namespace emulator {

Time now, launch_began, block_began;

// ---- Blocks
//
// They run in any order on a GPU, so nothing orders what they do, with one exception: an atomic
// operation after a __threadfence publishes what the block did before, and an atomic operation of
// another block on the same number makes it known there.

struct Began { Time time; unsigned block; };
static std::vector<Began> history;  // of this launch

struct Publication { const void* address; size_t block; };  // block: its place in the history
static std::vector<Publication> publications;
static std::vector<bool> known;  // to this block, by place in the history
static bool fenced;

void begin_checks() {
    collect_areas();
    launch_began = ++now;
    history.clear();
    publications.clear();
}

void check_block_begins() {
    block_began = ++now;
    history.push_back({now, block_number()});
    known.assign(history.size(), false);
    fenced = false;
}

static size_t place_in_history(Time time) {
    auto after = std::upper_bound(history.begin(), history.end(), time,
                                  [](Time t, const Began& began) { return t < began.time; });
    return size_t(after - history.begin()) - 1;
}

unsigned block_at(Time time) { return history[place_in_history(time)].block; }

bool anything_published() { return !publications.empty(); }

bool is_known(Time time) { return anything_published() && known[place_in_history(time)]; }

void check_fence() { fenced = true; }

void order_atomic(const void* address) {
    for (const Publication& publication : publications) {
        if (publication.address == address) known[publication.block] = true;
    }
    if (fenced) publications.push_back({address, history.size() - 1});
    fenced = false;
}

// ---- Barriers of the block

void check_barrier() { now++; }

// ---- Barriers of a warp
//
// The lanes of a warp count their common barriers. A lane's clock is the number of the last one
// that it took part in; `seen[a][b]` is the clock of lane b before which all that b did is known
// to lane a.

struct WarpClocks {
    Time time;  // of another time, all the following is 0
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

const uint16_t* clocks_of_lane(const Thread& thread, uint16_t& own) {
    WarpClocks& clocks = clocks_of(thread.warp);
    own = clocks.clock[thread.lane];
    return clocks.seen[thread.lane];
}

void check_warp_barrier(unsigned warp, unsigned mask) {
    // when the count would overflow, all that was is taken for ordered
    if (clocks_of(warp).barriers == UINT16_MAX) now++;
    WarpClocks& clocks = clocks_of(warp);
    uint16_t number = ++clocks.barriers, together[WARP] = {};
    for (unsigned a = 0; a < WARP; a++) {
        if (!(mask >> a & 1)) continue;
        for (unsigned b = 0; b < WARP; b++) together[b] = std::max(together[b], clocks.seen[a][b]);
    }
    for (unsigned a = 0; a < WARP; a++) {
        if (mask >> a & 1) together[a] = number;
    }
    for (unsigned a = 0; a < WARP; a++) {
        if (!(mask >> a & 1)) continue;
        memcpy(clocks.seen[a], together, sizeof together);
        clocks.clock[a] = number;
    }
}

}  // namespace emulator

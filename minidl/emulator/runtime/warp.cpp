// Exchange among the lanes of a warp.
//
// Lanes wait until all that the mask names have come; the last one does the work for all.
#include "runtime.hpp"

#include <stdio.h>
#include <string.h>

namespace emulator {

enum Operation { SHUFFLE, BALLOT, BARRIER, FENCE };
static const char* const NAMES[] = {"a shuffle", "a vote", "a warp exchange", "__syncwarp"};

static const size_t MAILBOX = 64;
alignas(64) static char mailbox[MOST_THREADS][MAILBOX];

void* mailboxes(size_t& size) {
    size = sizeof mailbox;
    return mailbox;
}

void begin_warps() { memset(mailbox, 0xff, thread_count * MAILBOX); }

static Thread* lane_of(unsigned warp, unsigned lane) {
    unsigned number = warp * WARP + lane;
    return number < thread_count ? &threads[number] : nullptr;
}

// Calls do(thread) for each lane that the mask names; the launch has all of them.
template <class Do> static void for_each_lane(unsigned warp, unsigned mask, Do act) {
    for (; mask; mask &= mask - 1) act(threads[warp * WARP + __builtin_ctz(mask)]);
}

static bool has_come(const Thread& lane, const Thread& to) {
    return lane.state == IN_WARP && lane.mask == to.mask && lane.operation == to.operation;
}

static bool is_gone(const Thread* lane) { return !lane || lane->state == EXITED; }

// Why a lane that this one waits for does not come.
static void describe_missing(const Thread& me, unsigned number, char* text, size_t size) {
    const Thread* lane = lane_of(me.warp, number);
    int used = snprintf(text, size, "%s with mask 0x%08x names lane %u, which ",
                        NAMES[me.operation], me.mask, number);
    text += used, size -= used;
    if (!lane) {
        snprintf(text, size, "the block of %u threads does not have", thread_count);
    } else if (lane->state == EXITED) {
        snprintf(text, size, "has left the kernel");
    } else if (lane->state == AT_BARRIER) {
        snprintf(text, size, "waits at __syncthreads, %s:%d", lane->place.file, lane->place.line);
    } else {
        snprintf(text, size, "waits in %s with mask 0x%08x", NAMES[lane->operation], lane->mask);
    }
}

// No thread can go on: what keeps the lanes that this one waits for; false if they all came.
bool missing_lanes(const Thread& me, char* text, size_t size) {
    for (unsigned i = 0; i < WARP; i++) {
        const Thread* lane = lane_of(me.warp, i);
        if (!(me.mask >> i & 1) || (lane && has_come(*lane, me))) continue;
        describe_missing(me, i, text, size);
        return true;
    }
    return false;
}

static void fail_if_alone(Thread& me) {
    if (!(me.mask >> me.lane & 1)) {
        begin_report(ABSENT_LANE, me, me.place.frame);
        set_text("lane %u calls %s with mask 0x%08x, which does not name it", me.lane,
                 NAMES[me.operation], me.mask);
        fail();
    }
    for (unsigned i = 0; i < WARP; i++) {
        if (!(me.mask >> i & 1) || !is_gone(lane_of(me.warp, i))) continue;
        begin_report(ABSENT_LANE, me, me.place.frame);
        describe_missing(me, i, report.text, sizeof report.text);
        fail();
    }
}

static void complete_shuffle(Thread& me) {
    for_each_lane(me.warp, me.mask, [](Thread& lane) {
        memcpy(mailbox[lane.number], lane.value, lane.size);
    });
    for_each_lane(me.warp, me.mask, [](Thread& lane) {
        // a lane that the mask does not name has nothing to give: poison
        if (lane.mask >> lane.source & 1) {
            memcpy(lane.value, mailbox[lane.warp * WARP + lane.source], lane.size);
        } else {
            memset(lane.value, 0xff, lane.size);
        }
    });
}

static void complete_ballot(Thread& me) {
    unsigned ballot = 0;
    for_each_lane(me.warp, me.mask, [&](Thread& lane) {
        ballot |= unsigned(lane.predicate) << lane.lane;
    });
    for_each_lane(me.warp, me.mask, [&](Thread& lane) { lane.count = int(ballot); });
}

// The running thread comes to an operation and goes on when all lanes have come.
static void meet(Operation operation, unsigned mask, void** frame) {
    Thread& me = *running;
    me.operation = operation;
    me.mask = mask;
    me.place.frame = frame;
    fail_if_alone(me);
    bool last = true;
    for_each_lane(me.warp, mask, [&](Thread& lane) {
        last = last && (&lane == &me || has_come(lane, me));
    });
    if (!last) return wait(IN_WARP);
    if (operation == SHUFFLE) complete_shuffle(me);
    if (operation == BALLOT) complete_ballot(me);
    if (operation == FENCE && launch.checked) check_warp_barrier(me.warp, mask);
    for_each_lane(me.warp, mask, [](Thread& lane) { lane.state = READY; });
}

}  // namespace emulator

using namespace emulator;

EMULATOR_EXPORT unsigned emulator_lane() { return running->lane; }

EMULATOR_EXPORT void* emulator_mailbox(unsigned lane) {
    return mailbox[running->warp * WARP + lane];
}

EMULATOR_EXPORT void emulator_warp_barrier(unsigned mask, int fence) {
    meet(fence ? FENCE : BARRIER, mask, EMULATOR_FRAME);
}

EMULATOR_EXPORT void emulator_exchange(unsigned mask, void* value, size_t size, unsigned source) {
    running->value = value;
    running->size = size;
    running->source = source;
    meet(SHUFFLE, mask, EMULATOR_FRAME);
}

EMULATOR_EXPORT unsigned emulator_ballot(unsigned mask, int predicate) {
    running->predicate = predicate != 0;
    meet(BALLOT, mask, EMULATOR_FRAME);
    return unsigned(running->count);
}

// Tensor cores and the instructions that feed them, on GPUs from sm_80 on; in the emulator, the
// same lane by lane. All 32 lanes of a warp call a function together.
//
// A fragment is one lane's share of a matrix, two halves to a register. In the names of the PTX
// ISA (mma.m16n8k16), groupID = lane / 4 and threadID_in_group = lane % 4; a pair of columns is
// 2 * threadID_in_group + {0, 1}:
//
//     A, 16 x 16, r[0]: row groupID, a pair of columns    r[2]: the same row,  8 columns further
//                 r[1]: row groupID + 8, the same pair    r[3]: that row,      8 columns further
//     B, 16 x 8,  r[0]: column groupID, a pair of rows    r[1]: the same,      8 rows further
//     C, 16 x 8,  v[0], v[1]: row groupID, a pair of columns; v[2], v[3]: row groupID + 8
#pragma once
#include "number.cuh"

struct FragmentA { unsigned r[4]; };
struct FragmentB { unsigned r[2]; };
struct FragmentC { float v[4]; };

// Eight halves: what one instruction copies, and a row of ldmatrix's matrices.
struct __align__(16) Eight { __half v[8]; };

#ifndef MINIDL_EMULATOR

// c += a b
__device__ __forceinline__ void mma(FragmentC& c, const FragmentA& a, const FragmentB& b) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c.v[0]), "+f"(c.v[1]), "+f"(c.v[2]), "+f"(c.v[3])
        : "r"(a.r[0]), "r"(a.r[1]), "r"(a.r[2]), "r"(a.r[3]), "r"(b.r[0]), "r"(b.r[1]));
}

// Four 8 x 8 matrices of shared memory: lane i names row i % 8 of matrix i / 8, and gets of each
// matrix in r[matrix] a pair of columns of row groupID; TRANSPOSED, of its transpose.
template <bool TRANSPOSED>
__device__ __forceinline__ void load_matrices(unsigned (&r)[4], const Eight& row) {
    unsigned address = (unsigned)__cvta_generic_to_shared(&row);
    if (TRANSPOSED) {
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(address) : "memory");
    } else {
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(address) : "memory");
    }
}

// A thread's copies from global to shared memory that go on while it computes. They come in
// groups: what was begun since the last commit().
struct AsyncCopies {
    // Begins to copy eight halves, or to write zeros where source is null.
    __device__ __forceinline__ void begin(Eight& target, const __half* source) {
        unsigned address = (unsigned)__cvta_generic_to_shared(&target);
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                     :: "r"(address), "l"(source), "r"(source ? 16 : 0) : "memory");
    }

    __device__ __forceinline__ void commit() {
        asm volatile("cp.async.commit_group;" ::: "memory");
    }

    // Waits until at most PENDING of the youngest groups are still under way. The copies are
    // then visible to this thread, and to others after a barrier.
    template <int PENDING>
    __device__ __forceinline__ void wait() {
        asm volatile("cp.async.wait_group %0;" :: "n"(PENDING) : "memory");
    }
};

#else  // lanes hand each other numbers in mailboxes of 64 bytes, between two barriers of the warp

#define UNCHECKED __attribute__((no_sanitize("thread")))

UNCHECKED inline void mma(FragmentC& c, const FragmentA& a, const FragmentB& b) {
    struct Share { float a[8], b[4]; };
    __half halves[12];
    memcpy(halves, a.r, sizeof a.r);
    memcpy(halves + 8, b.r, sizeof b.r);
    Share* mine = (Share*)emulator_mailbox(emulator_lane());
    for (int i = 0; i < 8; i++) mine->a[i] = float(halves[i]);
    for (int i = 0; i < 4; i++) mine->b[i] = float(halves[8 + i]);
    emulator_warp_barrier(0xffffffffu, 0);
    for (int i = 0; i < 4; i++) {
        int row = emulator_lane() / 4 + i / 2 * 8, column = emulator_lane() % 4 * 2 + i % 2;
        for (int k = 0; k < 16; k++) {
            const Share* left = (const Share*)emulator_mailbox(row % 8 * 4 + k % 8 / 2);
            const Share* right = (const Share*)emulator_mailbox(column * 4 + k % 8 / 2);
            c.v[i] += left->a[k / 8 * 4 + row / 8 * 2 + k % 2] * right->b[k / 8 * 2 + k % 2];
        }
    }
    emulator_warp_barrier(0xffffffffu, 0);
}

// Each lane hands out the row that it names; reading the row is plain code, which is checked.
template <bool TRANSPOSED>
inline void load_matrices(unsigned (&r)[4], const Eight& row) {
    Eight named = row;
    memcpy(emulator_mailbox(emulator_lane()), &named, sizeof named);
    emulator_warp_barrier(0xffffffffu, 0);
    int group = emulator_lane() / 4, pair = emulator_lane() % 4 * 2;
    for (int matrix = 0; matrix < 4; matrix++) {
        __half two[2];
        for (int i = 0; i < 2; i++) {
            int from = TRANSPOSED ? pair + i : group, column = TRANSPOSED ? group : pair + i;
            two[i] = ((const Eight*)emulator_mailbox(matrix * 8 + from))->v[column];
        }
        memcpy(&r[matrix], two, sizeof two);
    }
    emulator_warp_barrier(0xffffffffu, 0);
}

// A copy arrives as late as it may, in wait(). From begin() on, NaNs are in its place, so that
// whoever still reads what was there, or reads too early, is found out.
struct AsyncCopies {
    struct Copy { Eight* target; const __half* source; int group; };
    static const int MOST = 64;
    Copy copies[MOST];
    int done = 0, begun = 0, group = 0;

    void begin(Eight& target, const __half* source) {
        if (begun - done == MOST) finish();
        Eight poison;
        memset(&poison, 0xff, sizeof poison);
        target = poison;
        copies[begun++ % MOST] = Copy{&target, source, group};
    }

    void commit() { group++; }

    template <int PENDING>
    void wait() {
        while (done < begun && copies[done % MOST].group < group - PENDING) finish();
    }

    void finish() {
        Copy copy = copies[done++ % MOST];
        *copy.target = copy.source ? *(const Eight*)copy.source : Eight{};
    }
};

#endif

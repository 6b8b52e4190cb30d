// Philox 4x32-10, the generator of all random numbers; see kernels/random/reference.py.
#pragma once

typedef unsigned long long Bits64;

struct __align__(16) Words { unsigned at[4]; };

// Four random words from a key and a 128-bit counter, whose high half is the domain.
__device__ __forceinline__ Words philox_words(Bits64 key, Bits64 counter, Bits64 domain) {
    unsigned k0 = unsigned(key), k1 = unsigned(key >> 32);
    unsigned c0 = unsigned(counter), c1 = unsigned(counter >> 32);
    unsigned c2 = unsigned(domain), c3 = unsigned(domain >> 32);
    #pragma unroll
    for (int turn = 0; turn < 10; ++turn) {
        unsigned high0 = __umulhi(0xD2511F53u, c0), low0 = 0xD2511F53u * c0;
        unsigned high1 = __umulhi(0xCD9E8D57u, c2), low1 = 0xCD9E8D57u * c2;
        c0 = high1 ^ c1 ^ k0, c1 = low1;
        c2 = high0 ^ c3 ^ k1, c3 = low0;
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
    return {{c0, c1, c2, c3}};
}

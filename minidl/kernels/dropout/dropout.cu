// Dropout, one thread a block of four random words. The gradient makes the same words again:
// ten rounds cost less than reading a mask from memory.
#include "philox.cuh"
#include "vector.cuh"

extern "C" __global__ void dropout(const T* x, T* y, long long n, Bits64 key, Bits64 counter,
                                   unsigned threshold, Acc scale) {
    const bool in_packs = aligned(x, y);
    FOR_EACH(block, (n + 3) / 4) {
        const Words words = philox_words(key, counter + block, 0);
        const long long first = 4 * block;
        Pack<4> pack;
        if (in_packs && first + 4 <= n) {
            pack = load<4>(x + first);
        } else {
            for (int i = 0; i < 4; ++i) pack.at[i] = first + i < n ? x[first + i] : T(0.f);
        }
        #pragma unroll
        for (int i = 0; i < 4; ++i) {
            const bool kept = words.at[i] >> 8 >= threshold;
            pack.at[i] = kept ? T(Acc(pack.at[i]) * scale) : T(0.f);
        }
        if (in_packs && first + 4 <= n) {
            store(y + first, pack);
        } else {
            #pragma unroll
            for (int i = 0; i < 4; ++i) {
                if (first + i < n) y[first + i] = pack.at[i];
            }
        }
    }
}

// Random bits, one thread a block of four words.
#include "number.cuh"
#include "philox.cuh"

extern "C" __global__ void philox(Words* words, Bits64 key, Bits64 counter, Bits64 domain,
                                  long long n) {
    FOR_EACH(i, n) {
        words[i] = philox_words(key, counter + i, domain);  // the sum is modulo 2^64
    }
}

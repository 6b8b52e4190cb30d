// Division by a number that the launcher knows: a multiplication and a shift instead of some
// twenty instructions. `minidl.kernels.cuda.divisor` computes the multiplier.
#pragma once

struct Divisor {
    unsigned number, multiplier, shift;

    // 0 <= n < 2^31
    __device__ int quotient(int n) const { return __umulhi(2u * n, multiplier) >> shift; }
    __device__ int remainder(int n, int quotient) const { return n - quotient * int(number); }
};

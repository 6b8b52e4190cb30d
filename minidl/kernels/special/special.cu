// Special functions, elementwise.
#include "map.cuh"

struct Erf {
    __device__ void enter(int) {}
    __device__ Acc operator()(Acc x) const { return erf(x); }
};

extern "C" __global__ void error_function(const T* x, long long n, T* y) {
    map(n, n, 1, Erf(), y, x);
}

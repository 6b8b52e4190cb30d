// Activations and their gradients, one thread an element.
#include "number.cuh"

extern "C" __global__ void relu(const T* x, T* y, long long n) {
    FOR_EACH(i, n) {
        y[i] = Acc(x[i]) <= Acc(0) ? T(0.f) : x[i];  // NaN stays NaN
    }
}

extern "C" __global__ void relu_grad(const T* g, const T* y, T* out, long long n) {
    FOR_EACH(i, n) {
        out[i] = Acc(y[i]) <= Acc(0) ? T(0.f) : g[i];
    }
}

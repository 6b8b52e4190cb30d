// CUDA C as the emulator understands it, a kernel for each thing.
#include <cuda_fp16.h>

#define INDEX (blockIdx.x * blockDim.x + threadIdx.x)

extern "C" __global__ void half_arithmetic(__half* out, const __half* a, const __half* b,
                                           const __half* c, int n) {
    int i = INDEX;
    if (i >= n) return;
    out[i] = a[i] + b[i];
    out[n + i] = __hsub(a[i], b[i]);
    out[2 * n + i] = a[i] * b[i];
    out[3 * n + i] = a[i] / b[i];
    out[4 * n + i] = __hfma(a[i], b[i], c[i]);
    out[5 * n + i] = __habs(-a[i]);
}

extern "C" __global__ void converted(__half* narrow, __half* from_double, float* wide,
                                     const float* numbers, const double* doubles, int n) {
    int i = INDEX;
    if (i >= n) return;
    narrow[i] = __float2half(numbers[i]);
    from_double[i] = __double2half(doubles[i]);
    wide[i] = __half2float(narrow[i]);
}

extern "C" __global__ void half2_arithmetic(__half2* out, const __half2* a, const __half2* b) {
    int i = threadIdx.x;
    __half2 sum = __hadd2(a[i], b[i]), both = __halves2half2(__high2half(a[i]), __low2half(b[i]));
    float2 wide = __half22float2(sum);
    out[4 * i] = sum;
    out[4 * i + 1] = __hfma2(a[i], b[i], sum);
    out[4 * i + 2] = both;
    out[4 * i + 3] = __floats2half2_rn(wide.x, wide.y);
}

// All threads update each of these once.
extern "C" __global__ void atomics(float* sum, int* most, int* least, unsigned* bits,
                                   __half* halves, int* by_cas, int* seen_before) {
    int i = INDEX;
    atomicAdd(sum, 0.5f);
    atomicMax(most, (i * 37) % 256);
    atomicMin(least, -((i * 37) % 256));
    atomicOr(bits, 1u << (i % 32));
    atomicAdd(halves, __half(1.f));
    int seen = atomicAdd(by_cas, 0), assumed;
    do {
        assumed = seen;
        seen = atomicCAS(by_cas, assumed, assumed + 3);
    } while (seen != assumed);
    seen_before[i] = seen;
}

extern "C" __global__ void votes(unsigned* out, const int* predicates) {
    int lane = threadIdx.x, predicate = predicates[lane];
    unsigned even = 0x55555555;
    out[lane] = __ballot_sync(0xffffffff, predicate);
    out[32 + lane] = __any_sync(0xffffffff, predicate) ? 1 : 0;
    out[64 + lane] = __all_sync(0xffffffff, predicate) ? 1 : 0;
    unsigned mask = lane % 2 ? ~even : even;
    if (lane % 2) {
        out[96 + lane] = __ballot_sync(mask, predicate);
    } else {
        out[96 + lane] = __ballot_sync(mask, !predicate);
    }
    out[128 + lane] = __syncthreads_count(predicate);
    out[160 + lane] = __syncthreads_or(predicate) ? 1 : 0;
    out[192 + lane] = __syncthreads_and(predicate) ? 1 : 0;
}

extern "C" __global__ void shuffles(double* out, int width, int by) {
    int lane = threadIdx.x;
    double value = lane;
    out[lane] = __shfl_sync(0xffffffff, value, by, width);
    out[32 + lane] = __shfl_up_sync(0xffffffff, value, by, width);
    out[64 + lane] = __shfl_down_sync(0xffffffff, value, by, width);
    out[96 + lane] = __shfl_xor_sync(0xffffffff, value, by, width);
}

extern "C" __global__ void vectors(float4* sums, int4* reversed, const float4* a, const int4* b) {
    int i = threadIdx.x;
    float4 x = __ldg(a + i);
    sums[i] = make_float4(x.x, x.x + x.y, x.x + x.y + x.z, x.x + x.y + x.z + x.w);
    int4 y = b[i];
    reversed[i] = make_int4(y.w, y.z, y.y, y.x);
}

extern "C" __global__ void bit_functions(unsigned* out, const unsigned* a, const unsigned* b,
                                         int n) {
    int i = INDEX;
    if (i >= n) return;
    out[i] = __umulhi(a[i], b[i]);
    out[n + i] = __popc(a[i]);
    out[2 * n + i] = __clz(a[i]);
    out[3 * n + i] = __ffs(a[i]);
    out[4 * n + i] = __brev(a[i]);
    out[5 * n + i] = __float_as_uint(__uint_as_float(a[i] & 0x7f7fffff));
    out[6 * n + i] = __funnelshift_l(a[i], b[i], 5);
    out[7 * n + i] = __byte_perm(a[i], b[i], 0x6420);
}

__constant__ float powers[4] = {1.f, 10.f, 100.f, 1000.f};

extern "C" __global__ void constants(float* out) { out[threadIdx.x] = powers[threadIdx.x % 4]; }

struct Line {
    const float* slope;
    float offset;
    short first, last;
    double* out;
};

extern "C" __global__ void structure(Line line, int past) {
    int i = threadIdx.x;
    if (i < line.first || i > line.last) return;
    line.out[i + past] = double(*line.slope) * i + line.offset;
}

template <class T>
__device__ void reverse(T* out, const T* in, T* staged) {
    staged[threadIdx.x] = in[threadIdx.x];
    __syncthreads();
    out[threadIdx.x] = staged[blockDim.x - 1 - threadIdx.x];
}

// The same memory is of another type in each of these.
extern "C" __global__ void reversed_doubles(double* out, const double* in) {
    extern __shared__ double doubles[];
    reverse(out, in, doubles);
}
extern "C" __global__ void reversed_bytes(char* out, const char* in) {
    extern __shared__ __align__(16) char bytes[];
    reverse(out, in, bytes);
}
extern "C" __global__ void reversed_vectors(float4* out, const float4* in) {
    extern __shared__ float4 four[];
    reverse(out, in, four);
}

extern "C" __global__ void __launch_bounds__(64, 2) bounded(int* out) {
    int sum = 0;
#pragma unroll
    for (int i = 0; i < 4; i++) sum += i;
#pragma unroll 2
    for (int i = 0; i < 4; i++) sum += i;
    out[threadIdx.x] = sum;
}

template <class T, int FACTOR>
__global__ void scaled(T* values) {
    values[threadIdx.x] *= T(FACTOR);
}

extern "C" __global__ void asserted(const int* values, int n) {
    int i = threadIdx.x;
    assert(i >= n || values[i] >= 0);  // BUG: NEGATIVE
}

extern "C" __global__ void divided(int* out, int by) {
    out[threadIdx.x] = 12 / by;  // BUG: DIVISION
}

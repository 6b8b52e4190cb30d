// CUDA's mathematical functions that C lacks, and its intrinsics.
#pragma once

// min and max of any two numbers; a NaN loses, as with fmin and fmax.
template <class A, class B>
using EmulatorNumber = std::enable_if_t<
    std::is_arithmetic<A>::value && std::is_arithmetic<B>::value, std::common_type_t<A, B>>;

template <class A, class B> EMULATOR_INLINE EmulatorNumber<A, B> min(A a, B b) {
    typedef EmulatorNumber<A, B> Number;
    if constexpr (std::is_floating_point<Number>::value) return fmin(Number(a), Number(b));
    else return Number(b) < Number(a) ? Number(b) : Number(a);
}
template <class A, class B> EMULATOR_INLINE EmulatorNumber<A, B> max(A a, B b) {
    typedef EmulatorNumber<A, B> Number;
    if constexpr (std::is_floating_point<Number>::value) return fmax(Number(a), Number(b));
    else return Number(a) < Number(b) ? Number(b) : Number(a);
}

// Bits.
template <class To, class From> EMULATOR_INLINE To emulator_bits(From from) {
    static_assert(sizeof(To) == sizeof(From), "bits are moved, not converted");
    To to;
    __builtin_memcpy(&to, &from, sizeof(To));
    return to;
}
EMULATOR_INLINE unsigned __float_as_uint(float x) { return emulator_bits<unsigned>(x); }
EMULATOR_INLINE int __float_as_int(float x) { return emulator_bits<int>(x); }
EMULATOR_INLINE float __uint_as_float(unsigned x) { return emulator_bits<float>(x); }
EMULATOR_INLINE float __int_as_float(int x) { return emulator_bits<float>(x); }
EMULATOR_INLINE long long __double_as_longlong(double x) { return emulator_bits<long long>(x); }
EMULATOR_INLINE double __longlong_as_double(long long x) { return emulator_bits<double>(x); }
EMULATOR_INLINE int __popc(unsigned x) { return __builtin_popcount(x); }
EMULATOR_INLINE int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
EMULATOR_INLINE int __clz(int x) { return x ? __builtin_clz(x) : 32; }
EMULATOR_INLINE int __clzll(long long x) { return x ? __builtin_clzll(x) : 64; }
EMULATOR_INLINE int __ffs(int x) { return __builtin_ffs(x); }
EMULATOR_INLINE int __ffsll(long long x) { return __builtin_ffsll(x); }
EMULATOR_INLINE unsigned __brev(unsigned x) {
    unsigned reversed = 0;
    for (int i = 0; i < 32; i++) reversed |= (x >> i & 1) << (31 - i);
    return reversed;
}
EMULATOR_INLINE unsigned __byte_perm(unsigned a, unsigned b, unsigned selector) {
    unsigned long long bytes = (unsigned long long)b << 32 | a;
    unsigned result = 0;
    for (int i = 0; i < 4; i++) {
        result |= unsigned(bytes >> (selector >> 4 * i & 7) * 8 & 0xff) << 8 * i;
    }
    return result;
}
EMULATOR_INLINE unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
    return ((unsigned long long)high << 32 | low) << (shift & 31) >> 32;
}
EMULATOR_INLINE unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
    return ((unsigned long long)high << 32 | low) >> (shift & 31);
}

// Integers.
EMULATOR_INLINE unsigned __umulhi(unsigned a, unsigned b) { return (uint64_t)a * b >> 32; }
EMULATOR_INLINE int __mulhi(int a, int b) { return (int64_t)a * b >> 32; }
EMULATOR_INLINE unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned __int128)a * b >> 64;
}
EMULATOR_INLINE int __mul24(int a, int b) { return (a << 8 >> 8) * (b << 8 >> 8); }

// The sum of c and the products of four bytes of a and b.
EMULATOR_INLINE int __dp4a(int a, int b, int c) {
    for (int i = 0; i < 4; i++) c += (signed char)(a >> 8 * i) * (signed char)(b >> 8 * i);
    return c;
}
EMULATOR_INLINE unsigned __dp4a(unsigned a, unsigned b, unsigned c) {
    for (int i = 0; i < 4; i++) c += (a >> 8 * i & 255) * (b >> 8 * i & 255);
    return c;
}

// Conversions; the suffix is the rounding: to nearest, to zero, down, up.
#define EMULATOR_TO_INTEGER(name, From, To)                                      \
    EMULATOR_INLINE To __##name##_rn(From x) { return (To)rint(x); }             \
    EMULATOR_INLINE To __##name##_rz(From x) { return (To)trunc(x); }            \
    EMULATOR_INLINE To __##name##_rd(From x) { return (To)floor(x); }            \
    EMULATOR_INLINE To __##name##_ru(From x) { return (To)ceil(x); }
EMULATOR_TO_INTEGER(float2int, float, int)
EMULATOR_TO_INTEGER(float2uint, float, unsigned)
EMULATOR_TO_INTEGER(float2ll, float, long long)
EMULATOR_TO_INTEGER(double2int, double, int)
EMULATOR_TO_INTEGER(double2uint, double, unsigned)
EMULATOR_TO_INTEGER(double2ll, double, long long)
EMULATOR_INLINE float __int2float_rn(int x) { return float(x); }
EMULATOR_INLINE float __uint2float_rn(unsigned x) { return float(x); }
EMULATOR_INLINE float __ll2float_rn(long long x) { return float(x); }
EMULATOR_INLINE float __ull2float_rn(unsigned long long x) { return float(x); }
EMULATOR_INLINE double __int2double_rn(int x) { return x; }
EMULATOR_INLINE float __double2float_rn(double x) { return float(x); }

// Arithmetic with its rounding in the name.
EMULATOR_INLINE float __fadd_rn(float a, float b) { return a + b; }
EMULATOR_INLINE float __fsub_rn(float a, float b) { return a - b; }
EMULATOR_INLINE float __fmul_rn(float a, float b) { return a * b; }
EMULATOR_INLINE float __fdiv_rn(float a, float b) { return a / b; }
EMULATOR_INLINE float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
EMULATOR_INLINE float __frcp_rn(float x) { return 1.f / x; }
EMULATOR_INLINE float __fsqrt_rn(float x) { return sqrtf(x); }
EMULATOR_INLINE float __frsqrt_rn(float x) { return 1.f / sqrtf(x); }
EMULATOR_INLINE double __dadd_rn(double a, double b) { return a + b; }
EMULATOR_INLINE double __dsub_rn(double a, double b) { return a - b; }
EMULATOR_INLINE double __dmul_rn(double a, double b) { return a * b; }
EMULATOR_INLINE double __ddiv_rn(double a, double b) { return a / b; }
EMULATOR_INLINE double __fma_rn(double a, double b, double c) { return fma(a, b, c); }
EMULATOR_INLINE double __dsqrt_rn(double x) { return sqrt(x); }

// The fast and less exact versions of a GPU are as exact as the others here.
EMULATOR_INLINE float __fdividef(float a, float b) { return a / b; }
EMULATOR_INLINE float __saturatef(float x) { return x > 0 ? (x < 1 ? x : 1) : 0; }  // NaN: 0
EMULATOR_INLINE float __expf(float x) { return expf(x); }
EMULATOR_INLINE float __exp10f(float x) { return powf(10.f, x); }
EMULATOR_INLINE float __logf(float x) { return logf(x); }
EMULATOR_INLINE float __log2f(float x) { return log2f(x); }
EMULATOR_INLINE float __log10f(float x) { return log10f(x); }
EMULATOR_INLINE float __sinf(float x) { return sinf(x); }
EMULATOR_INLINE float __cosf(float x) { return cosf(x); }
EMULATOR_INLINE float __tanf(float x) { return tanf(x); }
EMULATOR_INLINE float __powf(float x, float y) { return powf(x, y); }
EMULATOR_INLINE void __sincosf(float x, float* s, float* c) { *s = sinf(x), *c = cosf(x); }

#define EMULATOR_BOTH(name, x, value)                                       \
    EMULATOR_INLINE double name(double x) { return value; }                 \
    EMULATOR_INLINE float name##f(float x) { return float(name(double(x))); } \
    EMULATOR_INLINE float name(float x) { return name##f(x); }
EMULATOR_BOTH(rsqrt, x, 1 / sqrt(x))
EMULATOR_BOTH(rcbrt, x, 1 / cbrt(x))
EMULATOR_BOTH(sinpi, x, sin(M_PI * fmod(x, 2)))
EMULATOR_BOTH(cospi, x, cos(M_PI * fmod(x, 2)))
EMULATOR_BOTH(normcdf, x, erfc(-x * M_SQRT1_2) / 2)
EMULATOR_INLINE void sincospif(float x, float* s, float* c) { *s = sinpif(x), *c = cospif(x); }
EMULATOR_INLINE void sincospi(double x, double* s, double* c) { *s = sinpi(x), *c = cospi(x); }

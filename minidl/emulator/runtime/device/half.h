// __half and __half2: 16 bits in memory, rounded after every operation, as a GPU does it.
#pragma once

// Rounds to nearest, ties to even.
EMULATOR_INLINE unsigned short emulator_half_bits(float x) {
    unsigned bits = __float_as_uint(x), sign = bits >> 16 & 0x8000;
    bits &= 0x7fffffff;
    if (bits > 0x7f800000) return 0x7fff;              // NaN, the one that a GPU makes
    if (bits >= 0x477ff000) return sign | 0x7c00;      // infinite, or rounds to it
    if (bits < 0x38800000) {                           // denormal: a multiple of 2^-24
        return sign | unsigned(rintf(__uint_as_float(bits) * 0x1p24f));
    }
    bits += 0xfff + (bits >> 13 & 1);
    return sign | (bits - 0x38000000) >> 13;
}

// A double goes by way of a float that is rounded to odd, so that it is rounded once in all.
EMULATOR_INLINE unsigned short emulator_half_bits(double x) {
    float nearest = float(x);
    unsigned bits = __float_as_uint(nearest);
    if (double(nearest) != x && isfinite(nearest)) {
        bits -= fabs(double(nearest)) > fabs(x);
        bits |= 1;
    }
    return emulator_half_bits(__uint_as_float(bits));
}

EMULATOR_INLINE float emulator_half_value(unsigned short half) {
    unsigned sign = unsigned(half & 0x8000) << 16, exponent = half >> 10 & 31;
    if (exponent == 0) return copysignf(float(half & 0x3ff) * 0x1p-24f, __uint_as_float(sign));
    unsigned rebased = exponent == 31 ? 255 : exponent + 112;
    return __uint_as_float(sign | rebased << 23 | unsigned(half & 0x3ff) << 13);
}

struct __half_raw { unsigned short x; };

struct __align__(2) __half {
    unsigned short u;
    __half() = default;
    EMULATOR_INLINE __half(const __half_raw& raw) : u(raw.x) {}
    EMULATOR_INLINE __half(float x) : u(emulator_half_bits(x)) {}
    EMULATOR_INLINE __half(double x) : u(emulator_half_bits(x)) {}
    template <class I, class = std::enable_if_t<std::is_integral<I>::value>>
    EMULATOR_INLINE __half(I x) : u(emulator_half_bits(double(x))) {}
    EMULATOR_INLINE operator float() const { return emulator_half_value(u); }
    EMULATOR_INLINE operator __half_raw() const { return {u}; }
};
typedef __half half;

#define EMULATOR_HALF_OPERATOR(op)                                                        \
    EMULATOR_INLINE __half operator op(__half a, __half b) { return float(a) op float(b); } \
    EMULATOR_INLINE __half& operator op##=(__half& a, __half b) { return a = a op b; }
EMULATOR_HALF_OPERATOR(+)
EMULATOR_HALF_OPERATOR(-)
EMULATOR_HALF_OPERATOR(*)
EMULATOR_HALF_OPERATOR(/)
EMULATOR_INLINE __half operator-(__half a) { return __half_raw{(unsigned short)(a.u ^ 0x8000)}; }
EMULATOR_INLINE __half operator+(__half a) { return a; }
EMULATOR_INLINE __half& operator++(__half& a) { return a += __half(1.f); }
EMULATOR_INLINE __half& operator--(__half& a) { return a -= __half(1.f); }
#define EMULATOR_HALF_COMPARISON(op, name)                                                \
    EMULATOR_INLINE bool operator op(__half a, __half b) { return float(a) op float(b); } \
    EMULATOR_INLINE bool name(__half a, __half b) { return float(a) op float(b); }
EMULATOR_HALF_COMPARISON(==, __heq)
EMULATOR_HALF_COMPARISON(!=, __hneu)
EMULATOR_HALF_COMPARISON(<, __hlt)
EMULATOR_HALF_COMPARISON(<=, __hle)
EMULATOR_HALF_COMPARISON(>, __hgt)
EMULATOR_HALF_COMPARISON(>=, __hge)
EMULATOR_INLINE bool __hne(__half a, __half b) { return a < b || a > b; }
EMULATOR_INLINE bool __hisnan(__half a) { return (a.u & 0x7fff) > 0x7c00; }
EMULATOR_INLINE int __hisinf(__half a) { return a.u == 0x7c00 ? 1 : a.u == 0xfc00 ? -1 : 0; }

EMULATOR_INLINE __half __hadd(__half a, __half b) { return a + b; }
EMULATOR_INLINE __half __hsub(__half a, __half b) { return a - b; }
EMULATOR_INLINE __half __hmul(__half a, __half b) { return a * b; }
EMULATOR_INLINE __half __hdiv(__half a, __half b) { return a / b; }
EMULATOR_INLINE __half __hneg(__half a) { return -a; }
EMULATOR_INLINE __half __habs(__half a) { return __half_raw{(unsigned short)(a.u & 0x7fff)}; }
EMULATOR_INLINE __half __hmax(__half a, __half b) { return fmaxf(a, b); }
EMULATOR_INLINE __half __hmin(__half a, __half b) { return fminf(a, b); }
EMULATOR_INLINE __half __hmax_nan(__half a, __half b) {
    return __hisnan(a) ? a : __hisnan(b) ? b : __hmax(a, b);
}
EMULATOR_INLINE __half __hmin_nan(__half a, __half b) {
    return __hisnan(a) ? a : __hisnan(b) ? b : __hmin(a, b);
}
// The product is exact in double, and so is every sum whose rounding could be in doubt.
EMULATOR_INLINE __half __hfma(__half a, __half b, __half c) {
    return double(float(a)) * float(b) + float(c);
}

#define EMULATOR_HALF_FUNCTION(name, value) \
    EMULATOR_INLINE __half name(__half a) { double x = float(a); return value; }
EMULATOR_HALF_FUNCTION(hexp, exp(x))
EMULATOR_HALF_FUNCTION(hexp2, exp2(x))
EMULATOR_HALF_FUNCTION(hlog, log(x))
EMULATOR_HALF_FUNCTION(hlog2, log2(x))
EMULATOR_HALF_FUNCTION(hsqrt, sqrt(x))
EMULATOR_HALF_FUNCTION(hrsqrt, 1 / sqrt(x))
EMULATOR_HALF_FUNCTION(hrcp, 1 / x)
EMULATOR_HALF_FUNCTION(hsin, sin(x))
EMULATOR_HALF_FUNCTION(hcos, cos(x))
EMULATOR_HALF_FUNCTION(hfloor, floor(x))
EMULATOR_HALF_FUNCTION(hceil, ceil(x))
EMULATOR_HALF_FUNCTION(htrunc, trunc(x))
EMULATOR_HALF_FUNCTION(hrint, rint(x))

EMULATOR_INLINE __half __float2half(float x) { return x; }
EMULATOR_INLINE __half __float2half_rn(float x) { return x; }
EMULATOR_INLINE __half __double2half(double x) { return x; }
EMULATOR_INLINE __half __int2half_rn(int x) { return x; }
EMULATOR_INLINE __half __uint2half_rn(unsigned x) { return x; }
EMULATOR_INLINE float __half2float(__half x) { return x; }
EMULATOR_INLINE int __half2int_rn(__half x) { return __float2int_rn(x); }
EMULATOR_INLINE int __half2int_rz(__half x) { return __float2int_rz(x); }
EMULATOR_INLINE unsigned short __half_as_ushort(__half x) { return x.u; }
EMULATOR_INLINE short __half_as_short(__half x) { return x.u; }
EMULATOR_INLINE __half __ushort_as_half(unsigned short x) { return __half_raw{x}; }
EMULATOR_INLINE __half __short_as_half(short x) { return __half_raw{(unsigned short)x}; }

struct __align__(4) __half2 {
    __half x, y;
    __half2() = default;
    EMULATOR_INLINE __half2(__half x, __half y) : x(x), y(y) {}
};
typedef __half2 half2;

EMULATOR_INLINE __half2 make_half2(__half x, __half y) { return {x, y}; }
EMULATOR_INLINE __half2 __halves2half2(__half x, __half y) { return {x, y}; }
EMULATOR_INLINE __half2 __half2half2(__half x) { return {x, x}; }
EMULATOR_INLINE __half2 __float2half2_rn(float x) { return {x, x}; }
EMULATOR_INLINE __half2 __floats2half2_rn(float x, float y) { return {x, y}; }
EMULATOR_INLINE __half2 __float22half2_rn(float2 v) { return {v.x, v.y}; }
EMULATOR_INLINE float2 __half22float2(__half2 v) { return {float(v.x), float(v.y)}; }
EMULATOR_INLINE __half __low2half(__half2 v) { return v.x; }
EMULATOR_INLINE __half __high2half(__half2 v) { return v.y; }
EMULATOR_INLINE float __low2float(__half2 v) { return v.x; }
EMULATOR_INLINE float __high2float(__half2 v) { return v.y; }
EMULATOR_INLINE __half2 __low2half2(__half2 v) { return {v.x, v.x}; }
EMULATOR_INLINE __half2 __high2half2(__half2 v) { return {v.y, v.y}; }
EMULATOR_INLINE __half2 __lowhigh2highlow(__half2 v) { return {v.y, v.x}; }
EMULATOR_INLINE __half2 __lows2half2(__half2 a, __half2 b) { return {a.x, b.x}; }
EMULATOR_INLINE __half2 __highs2half2(__half2 a, __half2 b) { return {a.y, b.y}; }
#define EMULATOR_HALF2_BINARY(name, half_name)                                         \
    EMULATOR_INLINE __half2 name(__half2 a, __half2 b) {                               \
        return {half_name(a.x, b.x), half_name(a.y, b.y)};                             \
    }
#define EMULATOR_HALF2_OPERATOR(op, name, half_name)                                   \
    EMULATOR_HALF2_BINARY(name, half_name)                                             \
    EMULATOR_INLINE __half2 operator op(__half2 a, __half2 b) { return name(a, b); }   \
    EMULATOR_INLINE __half2& operator op##=(__half2& a, __half2 b) { return a = name(a, b); }
EMULATOR_HALF2_OPERATOR(+, __hadd2, __hadd)
EMULATOR_HALF2_OPERATOR(-, __hsub2, __hsub)
EMULATOR_HALF2_OPERATOR(*, __hmul2, __hmul)
EMULATOR_HALF2_OPERATOR(/, __h2div, __hdiv)
EMULATOR_HALF2_BINARY(__hmax2, __hmax)
EMULATOR_HALF2_BINARY(__hmin2, __hmin)
EMULATOR_INLINE __half2 operator-(__half2 a) { return {-a.x, -a.y}; }
EMULATOR_INLINE __half2 __hneg2(__half2 a) { return -a; }
EMULATOR_INLINE __half2 __habs2(__half2 a) { return {__habs(a.x), __habs(a.y)}; }
EMULATOR_INLINE __half2 __hfma2(__half2 a, __half2 b, __half2 c) {
    return {__hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y)};
}

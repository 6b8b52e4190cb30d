// float4, make_float4 and their like, with the alignment that vector loads on a GPU ask for.
#pragma once

typedef unsigned char uchar;
typedef unsigned short ushort;
typedef unsigned int uint;
typedef unsigned long ulong;
typedef long long longlong;
typedef unsigned long long ulonglong;

#define EMULATOR_ALIGNMENT(T, n) __align__((n) * sizeof(T) < 16 ? (n) * sizeof(T) : 16)
#define EMULATOR_VECTOR_3(T)                                                          \
    struct T##3 { T x, y, z; };                                                       \
    EMULATOR_INLINE T##3 make_##T##3(T x, T y, T z) { return {x, y, z}; }
#define EMULATOR_VECTORS_124(T, vector)                                               \
    struct vector##1 { T x; };                                                        \
    struct EMULATOR_ALIGNMENT(T, 2) vector##2 { T x, y; };                            \
    struct EMULATOR_ALIGNMENT(T, 4) vector##4 { T x, y, z, w; };                      \
    EMULATOR_INLINE vector##1 make_##vector##1(T x) { return {x}; }                   \
    EMULATOR_INLINE vector##2 make_##vector##2(T x, T y) { return {x, y}; }           \
    EMULATOR_INLINE vector##4 make_##vector##4(T x, T y, T z, T w) { return {x, y, z, w}; }
#define EMULATOR_VECTORS(T) EMULATOR_VECTORS_124(T, T) EMULATOR_VECTOR_3(T)

EMULATOR_VECTORS_124(signed char, char)
EMULATOR_VECTORS(uchar)
EMULATOR_VECTORS(short)
EMULATOR_VECTORS(ushort)
EMULATOR_VECTORS(int)
EMULATOR_VECTORS_124(uint, uint)
EMULATOR_VECTORS(long)
EMULATOR_VECTORS(ulong)
EMULATOR_VECTORS(longlong)
EMULATOR_VECTORS(ulonglong)
EMULATOR_VECTORS(float)
EMULATOR_VECTORS(double)

EMULATOR_INLINE uint3 make_uint3(uint x, uint y, uint z) { return {x, y, z}; }

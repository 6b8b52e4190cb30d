// Loads with a hint, fences and atomics.
#pragma once

template <class T> EMULATOR_INLINE T __ldg(const T* p) { return *p; }
template <class T> EMULATOR_INLINE T __ldca(const T* p) { return *p; }
template <class T> EMULATOR_INLINE T __ldcg(const T* p) { return *p; }
template <class T> EMULATOR_INLINE T __ldcs(const T* p) { return *p; }
template <class T> EMULATOR_INLINE void __stcg(T* p, T value) { *p = value; }
template <class T> EMULATOR_INLINE void __stcs(T* p, T value) { *p = value; }

EMULATOR_INLINE void __threadfence() { emulator_fence(); }
EMULATOR_INLINE void __threadfence_system() { emulator_fence(); }
EMULATOR_INLINE void __threadfence_block() {}

// Threads change places only where they wait, so a plain update is atomic. The checker is told
// of it first; its own hooks must not take it for a plain access.
template <class T> using EmulatorSame = typename std::enable_if<true, T>::type;  // is not deduced

#define EMULATOR_ATOMIC(name, updated)                                                        \
    template <class T>                                                                        \
    __attribute__((no_sanitize("thread"))) T emulator_##name(T* p, T value) {                 \
        T old = *p;                                                                           \
        *p = T(updated);                                                                      \
        return old;                                                                           \
    }                                                                                         \
    template <class T> EMULATOR_INLINE T name(T* p, EmulatorSame<T> value) {                  \
        emulator_atomic(p, sizeof(T));                                                        \
        return emulator_##name(p, value);                                                     \
    }
EMULATOR_ATOMIC(atomicAdd, old + value)
EMULATOR_ATOMIC(atomicSub, old - value)
EMULATOR_ATOMIC(atomicExch, value)
EMULATOR_ATOMIC(atomicMin, value < old ? value : old)
EMULATOR_ATOMIC(atomicMax, old < value ? value : old)
EMULATOR_ATOMIC(atomicAnd, old & value)
EMULATOR_ATOMIC(atomicOr, old | value)
EMULATOR_ATOMIC(atomicXor, old ^ value)
EMULATOR_ATOMIC(atomicInc, old >= value ? 0 : old + 1)
EMULATOR_ATOMIC(atomicDec, old == 0 || old > value ? value : old - 1)

template <class T>
__attribute__((no_sanitize("thread"))) T emulator_atomicCAS(T* p, T expected, T value) {
    T old = *p;
    if (old == expected) *p = value;
    return old;
}
template <class T>
EMULATOR_INLINE T atomicCAS(T* p, EmulatorSame<T> expected, EmulatorSame<T> value) {
    emulator_atomic(p, sizeof(T));
    return emulator_atomicCAS(p, expected, value);
}

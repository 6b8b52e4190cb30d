// What compiled kernels call before they touch memory. The compilers know these names: with
// -fsanitize=thread they put in calls of __tsan_*, with -fsanitize=bounds and the like calls of
// __ubsan_handle_* where something is wrong. Their own runtimes are not linked.
#include "runtime.hpp"

#include <string.h>

using namespace emulator;

#define HOOK EMULATOR_EXPORT __attribute__((used))

#define HOOKS_OF_SIZE(n)                                                                      \
    HOOK void __tsan_read##n(void* p) { check(p, n, READ, EMULATOR_FRAME); }                  \
    HOOK void __tsan_write##n(void* p) { check(p, n, WRITE, EMULATOR_FRAME); }                \
    HOOK void __tsan_volatile_read##n(void* p) { check(p, n, READ, EMULATOR_FRAME); }         \
    HOOK void __tsan_volatile_write##n(void* p) { check(p, n, WRITE, EMULATOR_FRAME); }       \
    HOOK void __tsan_unaligned_read##n(void* p) { check(p, n, READ, EMULATOR_FRAME); }        \
    HOOK void __tsan_unaligned_write##n(void* p) { check(p, n, WRITE, EMULATOR_FRAME); }
HOOKS_OF_SIZE(1)
HOOKS_OF_SIZE(2)
HOOKS_OF_SIZE(4)
HOOKS_OF_SIZE(8)
HOOKS_OF_SIZE(16)

HOOK void __tsan_read_range(void* p, size_t size) { check(p, size, READ, EMULATOR_FRAME); }
HOOK void __tsan_write_range(void* p, size_t size) { check(p, size, WRITE, EMULATOR_FRAME); }
// Copies that are left to the C library: the linker puts these in the place of memcpy and the like
// (--wrap), and newer versions of clang call them by the other names.
#define COPY_HOOK(name)                                              \
    HOOK void* name(void* to, const void* from, size_t size) {       \
        check(from, size, READ, EMULATOR_FRAME);                     \
        check(to, size, WRITE, EMULATOR_FRAME);                      \
        return memmove(to, from, size);                              \
    }
#define FILL_HOOK(name)                                              \
    HOOK void* name(void* to, int value, size_t size) {              \
        check(to, size, WRITE, EMULATOR_FRAME);                      \
        return memset(to, value, size);                              \
    }
COPY_HOOK(__wrap_memcpy)
COPY_HOOK(__wrap_memmove)
FILL_HOOK(__wrap_memset)
COPY_HOOK(__tsan_memcpy)
COPY_HOOK(__tsan_memmove)
FILL_HOOK(__tsan_memset)

HOOK void __tsan_init() {}
HOOK void __tsan_func_entry(void*) {}
HOOK void __tsan_func_exit() {}
HOOK void __tsan_vptr_update(void*, void*) {}
HOOK void __tsan_vptr_read(void*) {}

HOOK void emulator_atomic(const void* p, size_t size) {
    if (launch.checked) check(p, size, ATOMIC, EMULATOR_FRAME);
}
HOOK void emulator_fence() {
    if (launch.checked) check_fence();
}

// ---- The compilers' descriptions of what is wrong, as both of them lay them out.

struct Location { const char* file; unsigned line, column; };
struct Type { uint16_t kind, info; char name[1]; };  // kind 0 is an integer, info & 1: it is signed
struct IndexError { Location location; const Type *array, *index; };
struct AlignmentError { Location location; const Type* type; unsigned char log_alignment, use; };
struct ArithmeticError { Location location; const Type *left, *right; };

static void begin(Kind kind, const Location& location, void** frame) {
    begin_report(kind, *running, frame);
    set_place(location.file, location.line);
}

HOOK void __ubsan_handle_out_of_bounds(const IndexError* error, intptr_t index) {
    if (!running) return;
    begin(INDEX, error->location, EMULATOR_FRAME);
    if (error->index->info >> 1 <= 5 && error->index->info & 1) index = int32_t(index);
    set_text("index %lld of an array of type %s", (long long)index, error->array->name);
    fail();
}

HOOK void __ubsan_handle_type_mismatch_v1(const AlignmentError* error, uintptr_t address) {
    if (!running) return;
    begin(MISALIGNED, error->location, EMULATOR_FRAME);
    report.address = address;
    set_text("%s needs an address that is a multiple of %d", error->type->name,
             1 << error->log_alignment);
    fail();
}

HOOK void __ubsan_handle_divrem_overflow(const ArithmeticError* error, uintptr_t, uintptr_t) {
    if (!running) return;
    begin(ARITHMETIC, error->location, EMULATOR_FRAME);
    set_text("division by zero");
    fail();
}

HOOK void __ubsan_handle_shift_out_of_bounds(const ArithmeticError* error, uintptr_t,
                                             intptr_t count) {
    if (!running) return;
    begin(ARITHMETIC, error->location, EMULATOR_FRAME);
    set_text("%s is shifted by %d bits", error->left->name, int(count));
    fail();
}

// A stack of its own for every CUDA thread, and the way from one to another.
//
// To change threads is to push the registers that a function must preserve, to exchange the stack
// pointer, and to pop the same registers from the other stack. Where no assembler version is
// written below, ucontext does the same with the help of the system, which takes longer.
#include "runtime.hpp"

#include <stdlib.h>
#include <sys/mman.h>

namespace emulator {

// Address space only: the system gives memory to what is touched. Below each stack lies memory that
// may not be touched, so that an overflow is a crash at once and not a wrong number later. Tops of
// stacks are spread over the sets of a cache.
static const size_t UNTOUCHED = 64 << 10, SPREAD = 4096, SPACE = UNTOUCHED + STACK_SIZE + SPREAD;

static char* reserve() {
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void* memory = mmap(nullptr, SPACE * MOST_THREADS, PROT_NONE, flags, -1, 0);
    if (memory == MAP_FAILED) abort();
    for (unsigned i = 0; i < MOST_THREADS; i++) {
        mprotect((char*)memory + i * SPACE + UNTOUCHED, SPACE - UNTOUCHED, PROT_READ | PROT_WRITE);
    }
    return (char*)memory;
}

char* stack_of(unsigned index) {
    static char* memory = reserve();
    return memory + index * SPACE + UNTOUCHED + index * 64 % SPREAD;
}

}  // namespace emulator

#if defined(__x86_64__)

asm(R"(
    .text
    .hidden emulator_change
    .globl emulator_change
    .type emulator_change, @function
emulator_change:            # (void** save_here, void* load_this)
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size emulator_change, .-emulator_change
)");

static const int ENTRY = 6, FRAME = 8;  // in words from the saved stack pointer

#elif defined(__aarch64__)

asm(R"(
    .text
    .hidden emulator_change
    .globl emulator_change
    .type emulator_change, %function
emulator_change:            // (void** save_here, void* load_this)
    sub sp, sp, #160
    stp x29, x30, [sp]
    stp x19, x20, [sp, #16]
    stp x21, x22, [sp, #32]
    stp x23, x24, [sp, #48]
    stp x25, x26, [sp, #64]
    stp x27, x28, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x2, sp
    str x2, [x0]
    mov sp, x1
    ldp x29, x30, [sp]
    ldp x19, x20, [sp, #16]
    ldp x21, x22, [sp, #32]
    ldp x23, x24, [sp, #48]
    ldp x25, x26, [sp, #64]
    ldp x27, x28, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
    .size emulator_change, .-emulator_change
)");

static const int ENTRY = 1, FRAME = 20;

#else
#include <ucontext.h>
#define EMULATOR_UCONTEXT
#endif

namespace emulator {

#ifndef EMULATOR_UCONTEXT

extern "C" void emulator_change(void** save_here, void* load_this);

void prepare(Context& context, char* stack, void (*entry)()) {
    uintptr_t top = (uintptr_t)(stack + STACK_SIZE) & ~uintptr_t(15);
    void** words = (void**)top - FRAME;  // the alignment that a called function expects
    for (int i = 0; i < FRAME; i++) words[i] = nullptr;
    words[ENTRY] = (void*)entry;
    context.stack_pointer = words;
}

void change(Context& from, Context& to) { emulator_change(&from.stack_pointer, to.stack_pointer); }

#else

static ucontext_t* of(Context& context) {
    if (!context.stack_pointer) context.stack_pointer = calloc(1, sizeof(ucontext_t));
    return (ucontext_t*)context.stack_pointer;
}

void prepare(Context& context, char* stack, void (*entry)()) {
    getcontext(of(context));
    of(context)->uc_stack.ss_sp = stack;
    of(context)->uc_stack.ss_size = STACK_SIZE;
    of(context)->uc_link = nullptr;
    makecontext(of(context), entry, 0);
}

void change(Context& from, Context& to) { swapcontext(of(from), of(to)); }

#endif

}  // namespace emulator

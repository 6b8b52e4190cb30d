// What is known of an error. Python makes an exception of it: it knows arrays, files and lines.
#include "runtime.hpp"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

namespace emulator {

Report report;

static uint64_t offset_in_module(void* place) {
    Extent module = module_memory();
    uintptr_t address = (uintptr_t)place;
    return address - module.begin < module.end - module.begin ? address - module.begin : 0;
}

// Follows the frame pointers from the runtime's function to the kernel's first.
static void walk(const Thread& thread, void** frame) {
    void** low = (void**)thread.stack;
    void** high = (void**)(thread.stack + STACK_SIZE) - 1;
    while (report.place_count < 16 && frame >= low && frame < high) {
        uint64_t place = offset_in_module(frame[1]);
        if (place) report.places[report.place_count++] = place;
        frame = (void**)frame[0];
    }
}

void begin_report(Kind kind, const Thread& thread, void** frame) {
    report = Report();
    report.kind = kind;
    memcpy(report.block, &emulator_position.block, sizeof report.block);
    memcpy(report.thread, &thread.index, sizeof report.thread);
    Extent fixed = static_shared(), dynamic = dynamic_shared();
    memcpy(report.static_shared, &fixed, sizeof fixed);
    memcpy(report.dynamic_shared, &dynamic, sizeof dynamic);
    walk(thread, frame);
}

void set_text(const char* format, ...) {
    va_list values;
    va_start(values, format);
    vsnprintf(report.text, sizeof report.text, format, values);
    va_end(values);
}

void set_place(const char* file, int line) {
    snprintf(report.file, sizeof report.file, "%s", file);
    report.line = line;
}

void fail() { abandon_launch(); }

}  // namespace emulator

using namespace emulator;

EMULATOR_EXPORT void emulator_assertion(const char* text, const char* file, int line) {
    begin_report(ASSERTION, *running, EMULATOR_FRAME);
    set_place(file, line);
    set_text("%s", text);
    fail();
}

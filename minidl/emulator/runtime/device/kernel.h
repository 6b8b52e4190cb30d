// How the runtime calls kernels: it knows their arguments only by their addresses.
#pragma once

template <class P> constexpr char emulator_kind() {
    if (std::is_pointer<P>::value) return 'p';
    if (std::is_integral<P>::value || std::is_enum<P>::value) return 'i';
    return std::is_floating_point<P>::value || std::is_same<P, __half>::value ? 'f' : 's';
}

template <auto function> struct EmulatorEntry;

template <class... P, void (*function)(P...)> struct EmulatorEntry<function> {
    static constexpr EmulatorParameter parameters[] = {
        {unsigned(sizeof(P)), emulator_kind<P>()}..., {0, 0}};

    __attribute__((no_sanitize("thread"))) static void call(void* const* arguments) {
        unpacked(arguments, std::index_sequence_for<P...>());
    }
    template <size_t... i>
    __attribute__((no_sanitize("thread"))) static void unpacked(void* const* arguments,
                                                                std::index_sequence<i...>) {
        function(*(std::remove_cv_t<P>*)arguments[i]...);
    }
    static constexpr EmulatorKernel kernel(unsigned most_threads) {
        return {call, parameters, sizeof...(P), most_threads};
    }
};

// All __shared__ variables are in the module's thread-local memory; so is this.
static thread_local char emulator_anchor;
EMULATOR_EXPORT char* emulator_shared_anchor() { return &emulator_anchor; }

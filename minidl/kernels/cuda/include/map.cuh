// Functions of each element, in packs of 16 bytes where the arrays lie so that it can be done.
#pragma once
#include "vector.cuh"

// Where element i of an array (N, channels, inner) is.
struct Position {
    long long inside, inner;
    int channel, channels;

    __device__ Position(long long i, long long inner, int channels)
        : inside(i % inner), inner(inner), channel(i / inner % channels), channels(channels) {}

    // On to the next element; whether it belongs to another channel.
    __device__ bool step() {
        if (++inside < inner) return false;
        inside = 0;
        channel = channel + 1 < channels ? channel + 1 : 0;
        return true;
    }
};

template <int COUNT, class Function, class... Input>
__device__ __forceinline__ Pack<COUNT> mapped(Position at, Function& f, const Input&... x) {
    Pack<COUNT> y;
    f.enter(at.channel);
    #pragma unroll
    for (int k = 0; k < COUNT; ++k) {
        y.at[k] = T(f(Acc(x.at[k])...));
        if (k + 1 < COUNT && at.step()) f.enter(at.channel);
    }
    return y;
}

// y[i] = f(x[i]...) for each element of arrays (N, channels, inner) with n elements. f.enter(c)
// comes before the elements of channel c, so that f can fetch what the channel has in common.
template <class Function, class... Input>
__device__ __forceinline__ void map(long long n, long long inner, int channels, Function f, T* y,
                                    const Input*... x) {
    const long long packs = aligned(y, x...) ? n / WIDTH : 0, single = packs * WIDTH;
    FOR_EACH(i, packs) {
        const Position at(i * WIDTH, inner, channels);
        store(y + i * WIDTH, mapped<WIDTH>(at, f, load<WIDTH>(x + i * WIDTH)...));
    }
    FOR_EACH(i, n - single) {
        const Position at(single + i, inner, channels);
        store(y + single + i, mapped<1>(at, f, load<1>(x + single + i)...));
    }
}

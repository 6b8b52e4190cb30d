// Channels innermost: (pictures, channels, positions) of any strides to (pictures, positions,
// padded), a tile of 32 x 32 a block; zeros from channel number `channels` on.
#include "number.cuh"

struct Layout { int channels, padded, positions, picture, channel, position; };

extern "C" __global__ void __launch_bounds__(256)
channels_last(const T* x, T* out, Layout at) {
    __shared__ T tile[32][33];
    int tiles = (at.positions + 31) / 32;
    int picture = blockIdx.x / tiles, first = blockIdx.x % tiles * 32;
    x += picture * (long long)at.picture;
    out += picture * ((long long)at.positions * at.padded);
    int position = first + threadIdx.x;
    for (int i = threadIdx.y; i < 32; i += 8) {
        int channel = blockIdx.y * 32 + i;
        bool exists = channel < at.channels && position < at.positions;
        tile[i][threadIdx.x] = exists ? x[channel * at.channel + position * at.position] : T(0.f);
    }
    __syncthreads();
    int channel = blockIdx.y * 32 + threadIdx.x;
    for (int i = threadIdx.y; i < 32 && first + i < at.positions; i += 8) {
        if (channel < at.padded) out[(first + i) * at.padded + channel] = tile[threadIdx.x][i];
    }
}

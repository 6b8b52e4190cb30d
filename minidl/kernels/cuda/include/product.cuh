// C = A B, one tile of C a block: tile_product on the CUDA cores, or with -DTENSOR_CORES on theirs.
#pragma once
#include "number.cuh"

// Where the block's tile begins: tiles are counted by blockIdx.x, down the rows first, so that
// blocks which run at one time share columns of B.
struct Origin {
    int row, column;

    __device__ explicit Origin(int rows) {
        int tiles = (rows + TILE_M - 1) / TILE_M;
        row = blockIdx.x % tiles * TILE_M;
        column = blockIdx.x / tiles * TILE_N;
    }
};

// Which two numbers of C, the first of even index, can be stored together, if any.
enum Neighbours { NONE, IN_COLUMN, IN_ROW };

// What an operand answers when it is asked for a number. On tensor cores it is asked for eight
// neighbours at a time, and says where they are; null if all of them are zeros.
#ifdef TENSOR_CORES
typedef const T* Found;
__device__ inline Found found(const T* place) { return place; }
#else
typedef T Found;
__device__ inline Found found(const T* place) { return *place; }
#endif

#ifdef TENSOR_CORES
#include "tile_mma.cuh"
#else
#include "tile.cuh"
#endif

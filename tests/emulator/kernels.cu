// Right kernels, and with -D the same with a bug; `BUG: NAME` marks the line where it shows.

#ifdef NO_BARRIER
#define BARRIER()
#else
#define BARRIER() __syncthreads()
#endif

#ifdef NO_BOUNDS_TEST
#define INSIDE(condition) true
#else
#define INSIDE(condition) (condition)
#endif

#ifdef INDEX_SHIFTED
#define SHIFT 1
#else
#define SHIFT 0
#endif

#define TILE 8

// c = a b, all n x n; blocks of TILE x TILE threads.
extern "C" __global__ void matmul(float* c, const float* a, const float* b, int n) {
    __shared__ float tile_a[TILE][TILE], tile_b[TILE][TILE];
    int x = threadIdx.x, y = threadIdx.y;
    int row = blockIdx.y * TILE + y, column = blockIdx.x * TILE + x;
    float sum = 0;
    for (int begin = 0; begin < n; begin += TILE) {
        bool in_a = row < n && begin + x < n, in_b = begin + y < n && column < n;
        tile_a[y][x] = INSIDE(in_a) ? a[row * n + begin + x] : 0.f;  // BUG: NO_BOUNDS_TEST
        tile_b[y][x] = in_b ? b[(begin + y) * n + column + SHIFT] : 0.f;  // BUG: INDEX_SHIFTED
        __syncthreads();
        for (int k = 0; k < TILE; k++) {
            sum += tile_a[y][k] * tile_b[k][x];  // BUG: NO_BARRIER
        }
        BARRIER();
    }
    if (row < n && column < n) c[row * n + column] = sum;
}

__device__ float warp_sum(float value) {
    for (int distance = 16; distance; distance /= 2) {
        value += __shfl_down_sync(0xffffffff, value, distance);  // BUG: EXITED_LANES, HALF_A_WARP
    }
    return value;
}

// A sum for each block; dynamic shared memory: a float for each warp.
extern "C" __global__ void block_sums(float* sums, const float* values, int n) {
    extern __shared__ float partial[];
    int i = blockIdx.x * blockDim.x + threadIdx.x, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
#ifdef EXITED_LANES
    if (i >= n) return;
#endif
    float sum = warp_sum(i < n ? values[i] : 0.f);
#ifdef OVERRUN
    if (lane == 0) partial[warp + 1] = sum;  // BUG: OVERRUN
#elif defined(UNINITIALISED)
    if (lane == 0 && warp != 1) partial[warp] = sum;
#else
    if (lane == 0) partial[warp] = sum;
#endif
#ifdef DIVERGENT_BARRIER
    if (warp == 0) __syncthreads();  // BUG: DIVERGENT_BARRIER
#elif defined(TWO_BARRIERS)
    if (warp == 0) { __syncthreads(); } else { __syncthreads(); }  // BUG: TWO_BARRIERS
#else
    __syncthreads();
#endif
    if (warp > 0) return;
    sum = lane < blockDim.x / 32 ? partial[lane] : 0.f;  // BUG: UNINITIALISED
    sum = warp_sum(sum);
    if (lane == 0) sums[blockIdx.x] = sum;
}

#define BINS 16

// How often each number from 0 to BINS - 1 occurs, and how many numbers there are.
extern "C" __global__ void histogram(int* counts, int* total, const int* values, int n) {
    __shared__ int mine[BINS], count;
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (threadIdx.x < BINS) mine[threadIdx.x] = 0;
    if (threadIdx.x == 0) count = 0;
    __syncthreads();
    if (i < n) {
#ifdef NOT_ATOMIC
        mine[values[i]] += 1;  // BUG: NOT_ATOMIC
#else
        atomicAdd(&mine[values[i]], 1);
#endif
        atomicAdd(&count, 1);
    }
    __syncthreads();
    if (threadIdx.x < BINS) atomicAdd(&counts[threadIdx.x], mine[threadIdx.x]);
    if (threadIdx.x == 0) {
#ifdef RACE_ACROSS_BLOCKS
        *total += count;  // BUG: RACE_ACROSS_BLOCKS
#else
        atomicAdd(total, count);
#endif
    }
}

#ifdef NO_SYNCWARP
#define SYNCWARP()
#else
#define SYNCWARP() __syncwarp()
#endif

// Four neighbours exchange their numbers: out[i] = in[i ^ 3].
extern "C" __global__ void exchanged(float* out, const float* in) {
    __shared__ float numbers[64];
    int i = threadIdx.x;
#ifdef LEFT_OUT
    if (i != 5) numbers[i] = in[i];
#else
    numbers[i] = in[i];
#endif
    __syncthreads();
    float neighbour = numbers[i ^ 1];  // BUG: NO_SYNCWARP, LEFT_OUT
    SYNCWARP();
    numbers[i] = neighbour;
    __syncwarp();
    out[i] = numbers[i ^ 2];
}

// The halves of 64 numbers change places.
extern "C" __global__ void swapped(float* numbers) {
    int i = threadIdx.x;
    float other = numbers[i ^ 32];
#ifdef WARPS_ONLY
    __syncwarp();
    __syncwarp();  // once more, so that in every order all read before the first writes
#else
    __syncthreads();
#endif
    numbers[i] = other;  // BUG: WARPS_ONLY
}

// All get the first number, and the first is then 0.
extern "C" __global__ void spread(float* numbers) {
    int i = threadIdx.x;
    float first = numbers[0];
#ifdef READERS_OF_TWO_WARPS
    __syncwarp();
    __syncwarp();
#else
    __syncthreads();
#endif
    if (i != 32) numbers[i + 1] = first;
    if (i == 32) numbers[0] = 0;  // BUG: READERS_OF_TWO_WARPS
}

#ifdef MISALIGNED
#define START 1
#else
#define START 0
#endif

// Copies 4 n numbers.
extern "C" __global__ void copied(float* out, const float* in, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n - START) {
        float4 four = *(const float4*)(in + START + 4 * i);  // BUG: MISALIGNED
        *(float4*)(out + 4 * i) = four;
    }
}

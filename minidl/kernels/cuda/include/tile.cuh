// C = A B, one tile of C a block, on the CUDA cores; A and B may be anything that has a value at
// (line, k), so that convolutions are products of matrices that are never written down.
//
// TILE_M x TILE_N numbers of C belong to a block, MICRO_M x MICRO_N of them to a thread, which
// keeps their sums in registers; TILE_BLOCKS are to find room on a multiprocessor. Step by step
// TILE_K columns of A and rows of B come into shared memory; while a thread multiplies one step,
// its loads of the next are on their way.
//
// An operand's "lines" are the rows of A, or the columns of B. It is a struct with
//     typedef ... Line;                       what is known of a line whatever k is
//     bool along_k;                           numbers with neighbouring k are neighbours in
//                                             memory (else those of neighbouring lines are);
//                                             better a static constant
//     Line line(int i) const;                 called with i < rows (columns for B)
//     Found operator()(const Line&, int k) const; called with begin <= k < end
// and what takes the result is one with
//     typedef ... Line;
//     Line line(int column) const;
//     void operator()(const Line&, int row, Acc value) const;
#pragma once

const int THREADS_M = TILE_M / MICRO_M, THREADS_N = TILE_N / MICRO_N;
const int TILE_THREADS = THREADS_M * THREADS_N;

// Four numbers that one instruction fetches from shared memory (two, if they are doubles).
struct __align__(16) Quad { Acc v[4]; };

// A row of a tile is four numbers longer than it needs to be: no two threads of a warp that
// write 8 k of 4 lines meet in a bank.
template <int LINES>
struct Tile { Quad quads[TILE_K][LINES / 4 + 1]; };

// One operand's way from global memory over registers to shared memory.
template <class Load, int LINES>
struct Stream {
    static const int COUNT = LINES * TILE_K / TILE_THREADS;  // numbers that a thread brings a step
    static_assert(TILE_THREADS % TILE_K == 0 && TILE_THREADS % LINES == 0,
                  "a thread stays with one k, or with one line");

    const Load& load;
    int end;                               // of k
    int line, line_step, k_place, k_step;  // the thread's first number, the way to its next
    typename Load::Line lines[COUNT];
    T ahead[COUNT];

    __device__ Stream(const Load& load, int first, int count, int end)
        : load(load), end(end) {
        int thread = threadIdx.x;
        line = load.along_k ? thread / TILE_K : thread % LINES;
        k_place = load.along_k ? thread % TILE_K : thread / LINES;
        line_step = load.along_k ? TILE_THREADS / TILE_K : 0;
        k_step = load.along_k ? 0 : TILE_THREADS / LINES;
#pragma unroll
        for (int i = 0; i < COUNT; i++) {
            // beyond the last line the last one again: what comes of it is not stored
            lines[i] = load.line(min(first + line + i * line_step, count - 1));
        }
    }

    __device__ void fetch(int k) {
#pragma unroll
        for (int i = 0; i < COUNT; i++) {
            int mine = k + k_place + i * k_step;
            ahead[i] = mine < end ? load(lines[i], mine) : T(0.f);
        }
    }

    __device__ void put(Tile<LINES>& tile) const {
#pragma unroll
        for (int i = 0; i < COUNT; i++) {
            int place = line + i * line_step;
            tile.quads[k_place + i * k_step][place / 4].v[place % 4] = Acc(ahead[i]);
        }
    }
};

// The thread's numbers of a tile, MICRO of each side, are groups of four, spread so that threads
// side by side read side by side.
template <int MICRO, int THREADS>
__device__ int place_of(int thread, int i) {
    return i / 4 * (4 * THREADS) + thread * 4 + i % 4;
}

template <int MICRO, int THREADS, int LINES>
__device__ void read(const Tile<LINES>& tile, int k, int thread, Quad (&part)[MICRO / 4]) {
#pragma unroll
    for (int i = 0; i < MICRO / 4; i++) part[i] = tile.quads[k][i * THREADS + thread];
}

// sums += the product of one step.
__device__ inline void multiply(const Tile<TILE_M>& a, const Tile<TILE_N>& b, int down, int across,
                                Acc (&sums)[MICRO_M][MICRO_N]) {
#pragma unroll 2  // wholly unrolled, it takes more registers than there are
    for (int k = 0; k < TILE_K; k++) {
        Quad left[MICRO_M / 4], right[MICRO_N / 4];
        read<MICRO_M, THREADS_M>(a, k, down, left);
        read<MICRO_N, THREADS_N>(b, k, across, right);
#pragma unroll
        for (int i = 0; i < MICRO_M; i++) {
#pragma unroll
            for (int j = 0; j < MICRO_N; j++) {
                sums[i][j] += left[i / 4].v[i % 4] * right[j / 4].v[j % 4];
            }
        }
    }
}

// Calls store(line of column, row, sum of a(row, k) * b(column, k) over begin <= k < end) for
// the block's tile of a result of rows x columns. All threads of the block must call it.
template <class LoadA, class LoadB, class Store>
__device__ void tile_product(int rows, int columns, int begin, int end, const LoadA& load_a,
                             const LoadB& load_b, const Store& store) {
    __shared__ Tile<TILE_M> tile_a[2];
    __shared__ Tile<TILE_N> tile_b[2];
    Origin origin(rows);
    int down = threadIdx.x / THREADS_N, across = threadIdx.x % THREADS_N;
    Stream<LoadA, TILE_M> a(load_a, origin.row, rows, end);
    Stream<LoadB, TILE_N> b(load_b, origin.column, columns, end);
    Acc sums[MICRO_M][MICRO_N] = {};
    a.fetch(begin);
    b.fetch(begin);
    a.put(tile_a[0]);
    b.put(tile_b[0]);
    __syncthreads();
    int now = 0;
#pragma unroll 1
    for (int k = begin + TILE_K; k < end; k += TILE_K) {
        a.fetch(k);
        b.fetch(k);
        multiply(tile_a[now], tile_b[now], down, across, sums);
        now ^= 1;
        a.put(tile_a[now]);
        b.put(tile_b[now]);
        __syncthreads();  // the other tiles are complete, and no one reads these any more
    }
    multiply(tile_a[now], tile_b[now], down, across, sums);
#pragma unroll
    for (int j = 0; j < MICRO_N; j++) {
        int column = origin.column + place_of<MICRO_N, THREADS_N>(across, j);
        if (column >= columns) continue;
        typename Store::Line line = store.line(column);
#pragma unroll
        for (int i = 0; i < MICRO_M; i++) {
            int row = origin.row + place_of<MICRO_M, THREADS_M>(down, i);
            if (row < rows) store(line, row, sums[i][j]);
        }
    }
}

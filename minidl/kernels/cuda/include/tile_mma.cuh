// C = A B on the tensor cores: tile.cuh's tile_product for T = __half, sums in float.
//
// A block of four warps makes a tile of C, each warp a quarter of it. The operands come step by
// step, TILE_K deep, through a ring of STAGES panels in shared memory: cp.async fills the next
// ones while the warps multiply this one, with one barrier a step.
//
// Halves come and go in company. An operand (see tile.cuh) is asked for eight numbers at a time, of
// neighbouring k if along_k, now a constant, else of neighbouring lines: in that direction sizes
// and `begin` are multiples of 8, and so is what it is asked for; addresses are multiples of 16
// bytes. What takes the result has two members more:
//     Neighbours neighbours;
//     void pair(const Line&, int row, float first, float second) const;
//
// What limits it, predicted for an H100 (per SM and clock: 1280 multiply-adds by mma.sync, 128
// bytes of shared memory): a step of 128 x 128 x 32 is 410 clocks of mma, 256 of ldmatrix (a warp
// reads 64 lines of each operand for 64 x 64 numbers) and 128 of cp.async's writes. So the mma
// should be kept busy to 80 % or more, some 500 TFLOP/s; 128 x 64 x 32 is held up by shared memory
// at 205 : 192 + 96, some 70 %, and 64 x 64 x 32 at 102 : 128 + 64, about half.
#pragma once
#include "mma.cuh"

const int TILE_K = 32, STAGES = 3;
const int WARPS_M = 2, WARPS_N = 2, TILE_THREADS = WARPS_M * WARPS_N * 32;
const int WARP_M = TILE_M / WARPS_M, WARP_N = TILE_N / WARPS_N;  // the warp's part of the tile
const int DOWN = WARP_M / 16, ACROSS = WARP_N / 8;               // in fragments
const int CHUNK = 8;  // neighbours that are copied together

// One step of an operand in shared memory: chunks of eight k if ALONG_K, else of eight lines. The
// exclusive or lets the eight chunks that ldmatrix reads at once lie in different banks.
template <int LINES, bool ALONG_K>
struct Panel {
    Eight chunks[LINES * TILE_K / CHUNK];

    // The chunk that begins with (line, k).
    __device__ Eight& chunk(int line, int k) {
        const int across = TILE_K / CHUNK;
        return ALONG_K ? chunks[line * across + (k / CHUNK ^ line / 2 % across)]
                       : chunks[k * (LINES / CHUNK) + (line / CHUNK ^ k % CHUNK)];
    }

    // Sixteen lines by sixteen k, eight by eight, as matrices whose rows are lines.
    __device__ void read(int line, int k, unsigned (&r)[2][2]) {
        int lane = threadIdx.x % 32, far = lane % 16, near = lane / 16 * CHUNK;
        unsigned found[4];
        load_matrices<!ALONG_K>(found, ALONG_K ? chunk(line + far, k + near)
                                               : chunk(line + near, k + far));
        r[0][0] = found[0];
        r[0][1] = found[ALONG_K ? 2 : 1];
        r[1][0] = found[ALONG_K ? 1 : 2];
        r[1][1] = found[3];
    }
};

// One operand's way from global to shared memory.
template <class Load, int LINES>
struct Stream {
    static const int COUNT = LINES * TILE_K / CHUNK / TILE_THREADS;  // chunks of a thread a step
    static const int NEAR = (Load::along_k ? TILE_K : LINES) / CHUNK;  // chunks side by side
    static const int STEP = TILE_THREADS / NEAR;
    static const int LINE_STEP = Load::along_k ? STEP : 0, K_STEP = Load::along_k ? 0 : STEP;
    typedef Panel<LINES, Load::along_k> Target;

    const Load& load;
    int first, count, end;  // the tile's first line, how many lines there are, and where k ends
    int line, k_place;      // the thread's first chunk in the panel
    typename Load::Line lines[COUNT];

    __device__ Stream(const Load& load, int first, int count, int end)
        : load(load), first(first), count(count), end(end) {
        int far = threadIdx.x / NEAR, near = threadIdx.x % NEAR * CHUNK;
        line = Load::along_k ? far : near;
        k_place = Load::along_k ? near : far;
#pragma unroll
        for (int i = 0; i < COUNT; i++) {
            lines[i] = load.line(min(first + line + i * LINE_STEP, count - 1));
        }
    }

    __device__ void bring(Target& panel, int k, AsyncCopies& copies) {
#pragma unroll
        for (int i = 0; i < COUNT; i++) {
            int mine = line + i * LINE_STEP, place = k_place + i * K_STEP;
            bool exists = first + mine < count && k + place < end;
            Eight& chunk = panel.chunk(mine, place);
            copies.begin(chunk, exists ? load(lines[i], k + place) : Found());
        }
    }
};

struct Sums { FragmentC c[DOWN][ACROSS]; };

// sums += the warp's part of the product of two panels.
template <class PanelA, class PanelB>
__device__ void multiply(PanelA& a, PanelB& b, int row, int column, Sums& sums) {
#pragma unroll
    for (int k = 0; k < TILE_K; k += 16) {
        FragmentA left[DOWN];
        FragmentB right[ACROSS];
#pragma unroll
        for (int i = 0; i < DOWN; i++) {
            unsigned r[2][2];
            a.read(row + 16 * i, k, r);
            left[i] = FragmentA{r[0][0], r[1][0], r[0][1], r[1][1]};
        }
#pragma unroll
        for (int j = 0; j < ACROSS; j += 2) {
            unsigned r[2][2];
            b.read(column + 8 * j, k, r);
            right[j] = FragmentB{r[0][0], r[0][1]};
            right[j + 1] = FragmentB{r[1][0], r[1][1]};
        }
#pragma unroll
        for (int i = 0; i < DOWN; i++) {
#pragma unroll
            for (int j = 0; j < ACROSS; j++) mma(sums.c[i][j], left[i], right[j]);
        }
    }
}

// Hands two neighbours in a row, the same for all lanes in a fragment, to store. All lanes of the
// warp call it.
template <class Store>
__device__ void put(const Store& store, int row, int column, int rows, int columns, float first,
                    float second) {
    if (store.neighbours == IN_COLUMN) {  // the lanes of two rows exchange what they have
        int odd = threadIdx.x / 4 % 2;
        float other = __shfl_xor_sync(0xffffffffu, odd ? first : second, 4);
        first = odd ? other : first;
        second = odd ? second : other;
        row -= odd;
        column += odd;
    }
    if (row >= rows || column >= columns) return;
    typename Store::Line line = store.line(column);
    if (store.neighbours != NONE) {
        store.pair(line, row, first, second);
    } else {
        store(line, row, first);
        if (column + 1 < columns) store(store.line(column + 1), row, second);
    }
}

// See tile.cuh.
template <class LoadA, class LoadB, class Store>
__device__ void tile_product(int rows, int columns, int begin, int end, const LoadA& load_a,
                             const LoadB& load_b, const Store& store) {
    typedef Stream<LoadA, TILE_M> StreamA;
    typedef Stream<LoadB, TILE_N> StreamB;
    __shared__ typename StreamA::Target panels_a[STAGES];
    __shared__ typename StreamB::Target panels_b[STAGES];
    Origin origin(rows);
    StreamA a(load_a, origin.row, rows, end);
    StreamB b(load_b, origin.column, columns, end);
    int warp = threadIdx.x / 32;
    int warp_row = warp % WARPS_M * WARP_M, warp_column = warp / WARPS_M * WARP_N;
    AsyncCopies copies;
    Sums sums = {};
    int now = 0, next = 0;  // the stages to multiply and to fill
    for (int k = begin - (STAGES - 1) * TILE_K; k < end; k += TILE_K) {
        if (k >= begin) {
            copies.wait<STAGES - 2>();
            __syncthreads();  // this stage is complete, and no one reads the one before any more
        }
        int ahead = k + (STAGES - 1) * TILE_K;
        if (ahead < end) {
            a.bring(panels_a[next], ahead, copies);
            b.bring(panels_b[next], ahead, copies);
            next = next + 1 < STAGES ? next + 1 : 0;
        }
        copies.commit();
        if (k >= begin) {
            multiply(panels_a[now], panels_b[now], warp_row, warp_column, sums);
            now = now + 1 < STAGES ? now + 1 : 0;
        }
    }
    int lane = threadIdx.x % 32;
    int row = origin.row + warp_row + lane / 4, column = origin.column + warp_column + lane % 4 * 2;
#pragma unroll
    for (int j = 0; j < ACROSS; j++) {
#pragma unroll
        for (int i = 0; i < DOWN; i++) {
            const float* v = sums.c[i][j].v;
            put(store, row + 16 * i, column + 8 * j, rows, columns, v[0], v[1]);
            put(store, row + 16 * i + 8, column + 8 * j, rows, columns, v[2], v[3]);
        }
    }
}

// Updates of many parameters in one launch: each block takes a chunk of one of them.
#include "vector.cuh"

const int MOST = 72;     // parameters of a launch, whose arguments may have 4096 bytes
const int CHUNK = 4096;  // elements of a block
const int THREADS = 256;

// Where the arrays of all parameters are: each parameter's own, its gradient and its state.
template <int ARRAYS>
struct Tensors {
    T* arrays[ARRAYS][MOST];
    long long sizes[MOST];
    int ends[MOST];  // how many chunks a parameter and those before it have
    int count;
};

// The block's part of a parameter, and of the arrays that belong to it.
template <int ARRAYS>
struct Chunk {
    T* arrays[ARRAYS];
    int size;
    bool in_packs;

    __device__ explicit Chunk(const Tensors<ARRAYS>& all) {
        int block = blockIdx.x, tensor = 0;
        for (int high = all.count - 1; tensor < high;) {  // the first that ends behind the block
            int middle = (tensor + high) / 2;
            if (all.ends[middle] > block) {
                high = middle;
            } else {
                tensor = middle + 1;
            }
        }
        long long start = (block - (tensor ? all.ends[tensor - 1] : 0)) * (long long)CHUNK;
        size = int(min(all.sizes[tensor] - start, (long long)CHUNK));
        in_packs = true;
#pragma unroll
        for (int a = 0; a < ARRAYS; a++) {
            arrays[a] = all.arrays[a][tensor] + start;
            in_packs = in_packs && aligned(arrays[a]);
        }
    }
};

// Updates COUNT consecutive elements: update(v) gets each one's number of every array and
// changes all but v[1], the gradient.
template <int COUNT, int ARRAYS, class Update>
__device__ void apply(const Chunk<ARRAYS>& chunk, int first, const Update& update) {
    Pack<COUNT> packs[ARRAYS];
#pragma unroll
    for (int a = 0; a < ARRAYS; a++) packs[a] = load<COUNT>(chunk.arrays[a] + first);
#pragma unroll
    for (int i = 0; i < COUNT; i++) {
        Acc v[ARRAYS];
#pragma unroll
        for (int a = 0; a < ARRAYS; a++) v[a] = Acc(packs[a].at[i]);
        update(v);
#pragma unroll
        for (int a = 0; a < ARRAYS; a++) packs[a].at[i] = T(v[a]);
    }
#pragma unroll
    for (int a = 0; a < ARRAYS; a++) {
        if (a != 1) store(chunk.arrays[a] + first, packs[a]);
    }
}

template <int ARRAYS, class Update>
__device__ void apply_all(const Tensors<ARRAYS>& all, const Update& update) {
    Chunk<ARRAYS> chunk(all);
    int packs = chunk.in_packs ? chunk.size / WIDTH : 0;
    for (int i = threadIdx.x; i < packs; i += THREADS) apply<WIDTH>(chunk, i * WIDTH, update);
    for (int i = packs * WIDTH + threadIdx.x; i < chunk.size; i += THREADS) {
        apply<1>(chunk, i, update);
    }
}

struct Plain {
    Acc lr, decay;

    __device__ void operator()(Acc (&v)[2]) const { v[0] -= lr * (v[1] + decay * v[0]); }
};

struct Momentum {
    Acc lr, decay, momentum, kept;
    int nesterov;

    __device__ void operator()(Acc (&v)[3]) const {
        Acc g = v[1] + decay * v[0];
        v[2] = momentum * v[2] + kept * g;
        v[0] -= lr * (nesterov ? g + momentum * v[2] : v[2]);
    }
};

struct Adam {
    Acc rate, root, eps, shrink, decay, mean_kept, square_decay, square_kept;

    // v holds the largest square so far, too, if LARGEST
    template <int ARRAYS>
    __device__ void operator()(Acc (&v)[ARRAYS]) const {
        Acc param = v[0] * shrink;
        Acc g = v[1] + decay * param;
        v[2] += mean_kept * (g - v[2]);
        v[3] = square_decay * v[3] + square_kept * g * g;
        Acc& square = v[ARRAYS - 1];
        if (ARRAYS == 5) square = square > v[3] ? square : v[3];  // NaN in the new one stays
        v[0] = param - rate * v[2] / (sqrt(square) / root + eps);
    }
};

extern "C" __global__ void __launch_bounds__(THREADS)
sgd(const Tensors<2> all, Plain update) {
    apply_all(all, update);
}

extern "C" __global__ void __launch_bounds__(THREADS)
sgd_momentum(const Tensors<3> all, Momentum update) {
    apply_all(all, update);
}

extern "C" __global__ void __launch_bounds__(THREADS)
adam(const Tensors<4> all, Adam update) {
    apply_all(all, update);
}

extern "C" __global__ void __launch_bounds__(THREADS)
amsgrad(const Tensors<5> all, Adam update) {
    apply_all(all, update);
}

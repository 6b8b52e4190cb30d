// Matrix products, with a bias. Each factor is row-major or transposed: A_ALONG_K and B_ALONG_K
// say whether its neighbours in memory are those along the sums.
#include "product.cuh"

struct Product {
    int rows, columns, depth, batches;
    // distances in memory between neighbours
    int a_row, a_k, b_column, b_k, c_row, c_column, bias_row, bias_column;
    Neighbours neighbours;  // in c
    long long a_batch, b_batch, c_batch;
};

template <bool ALONG_K>
struct Factor {
    typedef int Line;
    static const bool along_k = ALONG_K;
    const T* data;
    int line_stride, k_stride;

    __device__ Line line(int i) const { return i * line_stride; }
    __device__ Found operator()(Line line, int k) const {
        return found(data + line + k * k_stride);
    }
};

struct Result {
    typedef int Line;
    const Product& p;
    T* c;
    const T* bias;  // or null
    const Neighbours neighbours = p.neighbours;

    __device__ Line line(int column) const { return column; }
    __device__ Acc finished(int row, int column, Acc value) const {
        return bias ? value + Acc(bias[row * p.bias_row + column * p.bias_column]) : value;
    }
    __device__ void operator()(Line column, int row, Acc value) const {
        c[row * p.c_row + column * p.c_column] = T(finished(row, column, value));
    }
    __device__ void pair(Line column, int row, float first, float second) const {
        bool down = neighbours == IN_COLUMN;
        *(__half2*)&c[row * p.c_row + column * p.c_column] = __floats2half2_rn(
            finished(row, column, first), finished(row + down, column + !down, second));
    }
};

// One product of a batch a blockIdx.y and z.
extern "C" __global__ void __launch_bounds__(TILE_THREADS, TILE_BLOCKS)
matmul(const T* a, const T* b, const T* bias, T* c, Product p) {
    int batch = blockIdx.z * gridDim.y + blockIdx.y;
    if (batch >= p.batches) return;
    Factor<A_ALONG_K> left{a + batch * p.a_batch, p.a_row, p.a_k};
    Factor<B_ALONG_K> right{b + batch * p.b_batch, p.b_column, p.b_k};
    Result result{p, c + batch * p.c_batch, bias};
    tile_product(p.rows, p.columns, 0, p.depth, left, right, result);
}

// Activations and their gradients, with a bias by channel added on the way: elementwise over
// arrays (N, channels, inner), one thread a pack of 16 bytes.
#include "map.cuh"

// ------------------------------------------------------------------ ReLU

struct Rectify {
    __device__ void enter(int) {}
    __device__ Acc operator()(Acc x) const { return x <= 0 ? Acc(0) : x; }  // NaN stays NaN
    __device__ Acc operator()(Acc g, Acc y) const { return y <= 0 ? Acc(0) : g; }
};

extern "C" __global__ void relu(const T* x, long long n, T* y) {
    map(n, n, 1, Rectify(), y, x);
}

extern "C" __global__ void relu_grad(const T* g, const T* y, long long n, T* g_x) {
    map(n, n, 1, Rectify(), g_x, g, y);
}

// ------------------------------------------------------------------ the functions
// value(x), and grad(g, x) = g value'(x); a and b are the parameters, if there are any.

__device__ __forceinline__ Acc logistic(Acc x) { return 1 / (1 + exp(-x)); }

struct Relu {
    Acc a, b;
    __device__ Acc value(Acc x) const { return x <= 0 ? Acc(0) : x; }
    __device__ Acc grad(Acc g, Acc x) const { return x <= 0 ? Acc(0) : g; }
};

struct LeakyRelu {  // a: the slope on the left
    Acc a, b;
    __device__ Acc value(Acc x) const { return x > 0 ? x : x * a; }
    __device__ Acc grad(Acc g, Acc x) const { return x > 0 ? g : g * a; }
};

struct Elu {  // a: how far it goes down
    Acc a, b;
    __device__ Acc value(Acc x) const { return x > 0 ? x : a * expm1(x); }
    __device__ Acc grad(Acc g, Acc x) const { return x > 0 ? g : g * (a * exp(x)); }
};

struct Sigmoid {
    Acc a, b;
    __device__ Acc value(Acc x) const { return logistic(x); }
    __device__ Acc grad(Acc g, Acc x) const {
        const Acc y = logistic(x);
        return g * (y * (1 - y));
    }
};

struct Tanh {
    Acc a, b;
    __device__ Acc value(Acc x) const { return tanh(x); }
    __device__ Acc grad(Acc g, Acc x) const {
        const Acc y = tanh(x);
        return g * (1 - y * y);
    }
};

struct Silu {
    Acc a, b;
    __device__ Acc value(Acc x) const { return x * logistic(x); }
    __device__ Acc grad(Acc g, Acc x) const {
        const Acc y = logistic(x);
        return g * (y * (1 + x * (1 - y)));
    }
};

struct Gelu {
    Acc a, b;
    // the normal distribution function
    __device__ static Acc below(Acc x) { return Acc(0.5) * (1 + erf(x * Acc(0.7071067811865476))); }
    __device__ Acc value(Acc x) const { return x * below(x); }
    __device__ Acc grad(Acc g, Acc x) const {
        const Acc density = Acc(0.3989422804014327) * exp(Acc(-0.5) * x * x);
        return g * (below(x) + x * density);
    }
};

struct GeluTanh {
    Acc a, b;
    __device__ static Acc inner(Acc x) {
        return Acc(0.7978845608028654) * (x + Acc(0.044715) * x * x * x);
    }
    __device__ Acc value(Acc x) const { return Acc(0.5) * x * (1 + tanh(inner(x))); }
    __device__ Acc grad(Acc g, Acc x) const {
        const Acc y = tanh(inner(x));
        const Acc slope = Acc(0.7978845608028654) * (1 + Acc(0.134145) * x * x);
        return g * (Acc(0.5) * (1 + y + x * (1 - y * y) * slope));
    }
};

struct Softplus {  // a: how steep, b: from where on a x it is a line
    Acc a, b;
    __device__ Acc value(Acc x) const {
        const Acc scaled = x * a, tail = log1p(exp(-fabs(scaled)));
        return scaled > b ? x : (scaled > 0 ? scaled + tail : tail) / a;
    }
    __device__ Acc grad(Acc g, Acc x) const { return x * a > b ? g : g * logistic(x * a); }
};

// ------------------------------------------------------------------ the kernels

template <class Activation>
struct Biased {
    const T* bias;
    Activation activation;
    Acc shift;

    __device__ void enter(int channel) { shift = bias ? Acc(bias[channel]) : Acc(0); }
    __device__ Acc operator()(Acc x) const { return activation.value(x + shift); }
    __device__ Acc operator()(Acc g, Acc x) const { return activation.grad(g, x + shift); }
};

template <class Activation>
__device__ void forward(const T* x, const T* bias, Acc a, Acc b, long long n, long long inner,
                        int channels, T* y) {
    map(n, inner, channels, Biased<Activation>{bias, {a, b}}, y, x);
}

template <class Activation>
__device__ void backward(const T* g, const T* x, const T* bias, Acc a, Acc b, long long n,
                         long long inner, int channels, T* g_x) {
    map(n, inner, channels, Biased<Activation>{bias, {a, b}}, g_x, g, x);
}

// `kind` counts in the order of reference.py's FUNCTIONS; it is the same for all threads.
extern "C" __global__ void activation(int kind, const T* x, const T* bias, Acc a, Acc b,
                                      long long n, long long inner, int channels, T* y) {
    switch (kind) {
        case 0: return forward<Relu>(x, bias, a, b, n, inner, channels, y);
        case 1: return forward<LeakyRelu>(x, bias, a, b, n, inner, channels, y);
        case 2: return forward<Elu>(x, bias, a, b, n, inner, channels, y);
        case 3: return forward<Sigmoid>(x, bias, a, b, n, inner, channels, y);
        case 4: return forward<Tanh>(x, bias, a, b, n, inner, channels, y);
        case 5: return forward<Silu>(x, bias, a, b, n, inner, channels, y);
        case 6: return forward<Gelu>(x, bias, a, b, n, inner, channels, y);
        case 7: return forward<GeluTanh>(x, bias, a, b, n, inner, channels, y);
        case 8: return forward<Softplus>(x, bias, a, b, n, inner, channels, y);
    }
}

extern "C" __global__ void activation_grad(int kind, const T* g, const T* x, const T* bias, Acc a,
                                           Acc b, long long n, long long inner, int channels,
                                           T* g_x) {
    switch (kind) {
        case 0: return backward<Relu>(g, x, bias, a, b, n, inner, channels, g_x);
        case 1: return backward<LeakyRelu>(g, x, bias, a, b, n, inner, channels, g_x);
        case 2: return backward<Elu>(g, x, bias, a, b, n, inner, channels, g_x);
        case 3: return backward<Sigmoid>(g, x, bias, a, b, n, inner, channels, g_x);
        case 4: return backward<Tanh>(g, x, bias, a, b, n, inner, channels, g_x);
        case 5: return backward<Silu>(g, x, bias, a, b, n, inner, channels, g_x);
        case 6: return backward<Gelu>(g, x, bias, a, b, n, inner, channels, g_x);
        case 7: return backward<GeluTanh>(g, x, bias, a, b, n, inner, channels, g_x);
        case 8: return backward<Softplus>(g, x, bias, a, b, n, inner, channels, g_x);
    }
}

"""Operators: one file per family, each with its forward function and its gradient rules."""

from minidl.ops.activation import (
    bias_activation,
    elu,
    gelu,
    leaky_relu,
    relu,
    sigmoid,
    silu,
    softplus,
)
from minidl.ops.arithmetic import add, div, floor_divide, mul, neg, pow, remainder, sub
from minidl.ops.comparison import (
    clamp,
    eq,
    ge,
    gt,
    isfinite,
    isinf,
    isnan,
    le,
    logical_and,
    logical_not,
    logical_or,
    lt,
    maximum,
    minimum,
    ne,
    where,
)
from minidl.ops.conv import conv1d, conv2d, conv2d_relu, conv_transpose1d, conv_transpose2d
from minidl.ops.creation import (
    arange,
    as_tensor,
    empty,
    empty_like,
    eye,
    from_numpy,
    full,
    full_like,
    linspace,
    ones,
    ones_like,
    tensor,
    zeros,
    zeros_like,
)
from minidl.ops.crossentropy import cross_entropy, nll_loss
from minidl.ops.dropout import dropout
from minidl.ops.einsum import einsum
from minidl.ops.elementwise import (
    abs,
    ceil,
    clone,
    cos,
    erf,
    exp,
    expm1,
    floor,
    log,
    log1p,
    reciprocal,
    round,
    rsqrt,
    sign,
    sin,
    sqrt,
    square,
    tanh,
)
from minidl.ops.index import (
    argsort,
    gather,
    index_select,
    masked_fill,
    scatter,
    scatter_add,
    sort,
    topk,
)
from minidl.ops.linalg import bmm, linear, matmul, mm, outer
from minidl.ops.loss import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    kl_div,
    l1_loss,
    mse_loss,
    smooth_l1_loss,
)
from minidl.ops.norm import batch_norm, group_norm, layer_norm
from minidl.ops.pad import pad
from minidl.ops.pool import adaptive_avg_pool2d, avg_pool2d, max_pool2d
from minidl.ops.quantize import dequantize, fake_quantize, quantize
from minidl.ops.quantized import quantized_conv2d, quantized_linear
from minidl.ops.reduce import (
    all,
    amax,
    amin,
    any,
    argmax,
    argmin,
    cumsum,
    logsumexp,
    max,
    mean,
    min,
    norm,
    prod,
    std,
    sum,
    var,
)
from minidl.ops.sampling import rand, rand_like, randint, randn, randn_like, randperm
from minidl.ops.shape import (
    cat,
    chunk,
    flatten,
    flip,
    narrow,
    permute,
    reshape,
    roll,
    split,
    squeeze,
    stack,
    t,
    transpose,
    unbind,
    unsqueeze,
)
from minidl.ops.softmax import log_softmax, softmax

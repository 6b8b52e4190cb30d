"""minidl: a deep-learning engine from scratch on NumPy and Numba.

The names and arguments are PyTorch's: ``import minidl as torch`` runs a small network.
"""

from minidl import (
    accelerator,
    autograd,
    compiler,
    cuda,
    kernels,
    nn,
    ops,
    optim,
    profiler,
    random,
    utils,
)
from minidl.autograd import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from minidl.backend import (
    CudaUnavailable,
    Device,
    OutOfMemoryError,
    bool_,
    device,
    float16,
    float32,
    float64,
    get_default_device,
    get_default_dtype,
    int8,
    int16,
    int32,
    int64,
    set_default_device,
    set_default_dtype,
    uint8,
)
from minidl.compiler import CaptureError, compile
from minidl.kernels import get_num_threads, set_num_threads
from minidl.ops import *
from minidl.random import Generator, get_rng_state, initial_seed, manual_seed, set_rng_state
from minidl.serialization import load, save
from minidl.tensor import Tensor

tensor = ops.tensor  # the function: importing the class has put the submodule in its place
bool = bool_
half, float, double = float16, float32, float64
int, long = int32, int64

__version__ = "0.1.0"

"""Arrays below the tensors: array modules, devices, dtypes.

The only place that knows which library an array belongs to. Everything above asks
``xp(array)`` for its array module and ``device_of(array)`` for its place.
"""

from minidl.backend.cupy import CudaUnavailable, load_cupy
from minidl.backend.device import (
    CPU,
    EMULATOR,
    Device,
    device,
    device_of,
    device_or_default,
    get_default_device,
    indexed,
    is_array,
    is_current,
    made_on,
    set_default_device,
    to_device,
    to_host,
    xp,
    xp_of,
)
from minidl.backend.dtype import (
    asarray,
    bool_,
    fits_into,
    float16,
    float32,
    float64,
    get_default_dtype,
    int8,
    int16,
    int32,
    int64,
    result_type,
    set_default_dtype,
    uint8,
)
from minidl.backend.heap import keep_freed_memory
from minidl.backend.memory import OutOfMemoryError, memory_errors, out_of_memory
from minidl.backend.transfer import is_pinned, pinned, to_gpu

keep_freed_memory()

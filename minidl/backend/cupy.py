"""CuPy, imported when a GPU is first asked for and never before."""

from __future__ import annotations

import functools
import importlib
import warnings
from types import ModuleType


class CudaUnavailable(RuntimeError):
    """There is no GPU to compute on; the message says what is missing and how to get it."""


@functools.cache
def load_cupy() -> ModuleType:
    """The module ``cupy``, with at least one GPU behind it.

    Raises
    ------
    CudaUnavailable
        If CuPy is missing or broken, was built for another CUDA, or finds no driver or GPU.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # two CuPy packages side by side, old drivers, ...
            cupy = importlib.import_module("cupy")
    except ImportError as error:
        raise CudaUnavailable(
            "the device 'cuda' needs CuPy, built for the CUDA of the driver: "
            f"pip install 'minidl[cuda12]' or 'minidl[cuda13]' ({error})"
        ) from None
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise CudaUnavailable(f"the device 'cuda' is not usable: {_reason(cupy, error)}") from None
    if count == 0:
        raise CudaUnavailable("the device 'cuda' is not usable: the driver finds no GPU")
    return cupy


def _reason(cupy: ModuleType, error: Exception) -> str:
    built = cupy.cuda.runtime.runtimeGetVersion() // 1000
    driver = cupy.cuda.runtime.driverGetVersion() // 1000
    if driver == 0:
        return f"no NVIDIA driver is installed ({error})"
    if driver < built:
        return (
            f"this CuPy is built for CUDA {built} and the driver supports CUDA {driver}: "
            f"pip uninstall cupy-cuda{built}x, then pip install 'minidl[cuda{driver}]' ({error})"
        )
    return str(error)

"""What a GPU is and the most it can do: the ceilings beside which kernels are measured."""

from __future__ import annotations

import subprocess
from datetime import date
from pathlib import Path
from types import ModuleType

import minidl
from benchmarks import machine
from benchmarks.gpu_timing import Timer
from minidl import cuda
from minidl.backend import device, load_cupy, xp_of

COPY, FLOAT32, FLOAT16 = "copy, GB/s", "float32 product, TFLOP/s", "float16 product, TFLOP/s"


def describe(place: str) -> str:
    """The GPU, its driver and CUDA, minidl's commit, the processor and the date, in one line."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
    ).stdout.strip()
    parts = [machine.describe(), f"minidl {minidl.__version__} {commit}".strip()]
    if place == "cuda":
        runtime = load_cupy().cuda.runtime
        versions = f"driver {runtime.driverGetVersion()}, CUDA {runtime.runtimeGetVersion()}"
        parts.insert(0, f"{cuda.get_device_name()}, {versions}")
    return f"{'; '.join(parts)}; {date.today().isoformat()}"


def ceilings(place: str, timer: Timer) -> dict[str, float]:
    """The bandwidth of a large copy, and the speed of large matrix products (cuBLAS)."""
    xp = xp_of(device(place))
    tiny = place == "emulator"
    found = {COPY: _copy_bandwidth(xp, 1 << (10 if tiny else 28), timer)}
    for name, dtype in ((FLOAT32, "float32"), (FLOAT16, "float16")):
        found[name] = _product_speed(xp, 16 if tiny else 8192, dtype, timer)
    return found


def _copy_bandwidth(xp: ModuleType, count: int, timer: Timer) -> float:
    source, target = xp.zeros(count, "float32"), xp.zeros(count, "float32")
    return 2 * source.nbytes / timer.best(lambda: xp.copyto(target, source)) / 1e9


def _product_speed(xp: ModuleType, size: int, dtype: str, timer: Timer) -> float:
    a, b = xp.ones((size, size), dtype), xp.ones((size, size), dtype)
    return 2 * size**3 / timer.best(lambda: xp.matmul(a, b)) / 1e12

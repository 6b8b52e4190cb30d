"""What the profiler has to do with a GPU: wait for it, and name ranges in Nsight's timeline."""

from __future__ import annotations

import sys
from typing import Any

from minidl import cuda
from minidl.backend import CudaUnavailable, load_cupy


class Gpu:
    """NVTX ranges, which Nsight shows by their names; each waits for the GPU when it ends."""

    def __init__(self) -> None:
        self.nvtx: Any = load_cupy().cuda.nvtx
        self.open = 0

    def push(self, name: str) -> int:
        """Open a range; how many were open before."""
        self.nvtx.RangePush(name)
        self.open += 1
        return self.open - 1

    def pop_to(self, count: int) -> None:
        """Wait for the GPU, and close ranges until ``count`` are open."""
        cuda.synchronize()
        while self.open > count:
            self.nvtx.RangePop()
            self.open -= 1


def gpu_in_use() -> Gpu | None:
    """The GPU, if this process has loaded CuPy and there is one."""
    if "cupy" not in sys.modules:
        return None
    try:
        return Gpu()
    except CudaUnavailable:
        return None

"""Runs the checks in Numba's simulator and prints, as JSON, each one's name and what is wrong.

The simulator must be chosen before Numba is imported, hence a process of its own:
``NUMBA_ENABLE_CUDASIM=1``. It takes about half a millisecond a thread, so most checks run with
blocks of few threads, which makes many blocks, several tiles and loops of several turns out of
tiny arrays; the rest runs with the blocks that a GPU gets.
"""

import importlib
import json
import traceback

import numpy as np
from numba_checks import WITH_FULL_BLOCKS, all_checks
from on_device import moved

from minidl.kernels.activation import numba_cuda as activation
from minidl.kernels.conv import numba_cuda as conv
from minidl.kernels.optim import numba_cuda as optim
from minidl.kernels.pool import numba_cuda as pool
from minidl.kernels.softmax import numba_cuda as softmax


def run(kernel, args, host):
    """What the kernel's variant for Numba CUDA makes of copies of ``args``."""
    module, _, function = kernel.variants["numba-cuda"].partition(":")
    copies = moved(args, np.copy)
    return getattr(importlib.import_module(module), function)(*copies, *host), copies


def verdict(check):
    """None, or how the check failed."""
    try:
        check(run)
    except Exception:
        return traceback.format_exc()
    return None


def use_small_blocks():
    """Few threads a block, few blocks a grid, small tiles and parts."""
    for module in (activation, conv, optim, pool, softmax):
        module._THREADS = 4
        module.grid_for = lambda count, threads: (min(-(-count // threads), 2),)
    softmax._MOST_BLOCKS = 2
    conv._TILE, conv._LONG_ROW = 3, 4
    conv.part_size = lambda positions, *_: min(positions, 7)


if __name__ == "__main__":
    checks = all_checks()
    verdicts = {name: verdict(checks.pop(name)) for name in WITH_FULL_BLOCKS}
    use_small_blocks()
    print(json.dumps(verdicts | {name: verdict(check) for name, check in checks.items()}))

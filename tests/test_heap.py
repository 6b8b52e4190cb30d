"""Freed memory stays with the process, so that a step's large arrays cost no fresh pages."""

import resource
import subprocess
import sys

import pytest

from minidl.backend.heap import keep_freed_memory

PROGRAM = """
import resource
import numpy as np
import minidl

def fill():
    for _ in range(3):
        np.ones(2_000_000, np.float32)  # 8 MB, freed at once

fill()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    fill()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(**environment):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.skipif(not keep_freed_memory(), reason="this C library has no mallopt")
def test_large_arrays_get_the_memory_of_those_before():
    pages = 30 * 8_000_000 // resource.getpagesize()  # if each array had pages of its own
    assert faults() < pages / 10
    assert faults(MALLOC_TRIM_THRESHOLD_="131072") > pages / 10  # as the environment wants it

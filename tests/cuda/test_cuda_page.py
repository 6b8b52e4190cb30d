"""The page about a GPU, tried at tiny sizes in the emulator."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import gpu_kernels, gpu_work
from benchmarks.gpu_machine import COPY
from minidl import emulator, kernels
from minidl.kernels import relu
from minidl.kernels.registry import kernels as registered

PAGE = Path(__file__).parents[2] / "benchmarks" / "gpu.py"

pytestmark = pytest.mark.skipif(
    not emulator.is_available(), reason="the emulator needs g++ or clang++"
)


def test_every_cuda_kernel_is_on_the_page():
    with_cuda = {name for name, kernel in registered.items() if "cuda" in kernel.variants}
    assert set(gpu_kernels.ARGUMENTS) | gpu_kernels.ELSEWHERE == with_cuda


def test_the_page(tmp_path):
    file = tmp_path / "page.json"
    command = [sys.executable, str(PAGE), "--device", "emulator", "--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    page = json.loads(file.read_text())
    assert page["left_out"] == []
    rows = {row["work"]: row for row in page["rows"]}
    assert rows["relu"]["error"] == 0 and rows["relu"]["seconds"][0] > 0
    assert any("ResNet-18" in name for name in rows)


def test_work_beyond_the_budget_is_named(tmp_path):
    command = [sys.executable, str(PAGE), "--device", "emulator", "--budget", "0"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert "not measured" in done.stdout and "relu" in done.stdout


def test_a_wrong_kernel_is_seen(monkeypatch):
    inputs = gpu_kernels.Inputs("emulator", gpu_work.TINY)
    wrong = kernels.Kernel("wrong relu", numpy=relu.reference, cuda=lambda x: x)
    monkeypatch.delitem(registered, "wrong relu")
    work = gpu_work.kernel_work("wrong relu", wrong, (inputs.pictures(),), None, 0.0, COPY)
    assert work.error() > work.allowed

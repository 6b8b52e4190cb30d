"""First version: to be replaced."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import threading

from pathlib import Path

import numpy as np

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "runtime")
CACHE = os.path.join(tempfile.gettempdir(), "minidl-emulator-first")
PAD = 4096
_lock = threading.Lock()


class EmulatorError(RuntimeError):
    pass


class _State(threading.local):
    checked, order, seed = False, "forward", 1


_state = _State()


def is_available():
    return shutil.which("g++") is not None


def is_checked():
    return _state.checked


@contextlib.contextmanager
def checked(order="forward", seed=1):
    before = _state.checked, _state.order, _state.seed
    _state.checked, _state.order, _state.seed = True, order, seed
    try:
        yield
    finally:
        _state.checked, _state.order, _state.seed = before


def _read(name):
    return Path(HERE, name).read_text()


def _cxx(*a):
    r = subprocess.run(["g++", "-std=c++17", "-fPIC", "-g1", "-w", "-ffp-contract=off", "-fno-threadsafe-statics", "-fno-gnu-unique", "-I", HERE, *a], capture_output=True, text=True)
    if r.returncode:
        raise EmulatorError(r.stderr)


def _rt(check):
    out = []
    for f in ["shim_rt.cpp", "shim_check.cpp" if check else "shim_nocheck.cpp"]:
        p = os.path.join(HERE, f)
        h = hashlib.sha1(b"".join(_read(x).encode() for x in (f, "cuda_shim.h"))).hexdigest()[:12]
        o = os.path.join(CACHE, f"{f}.{h}.o")
        if not os.path.exists(o):
            _cxx("-O2", "-c", p, "-o", f"{o}.{os.getpid()}")
            os.rename(f"{o}.{os.getpid()}", o)
        out.append(o)
    return out


def _translate(src):
    names = re.findall(r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\s*\([^)]*\)\s*)?(\w+)\s*\(', src)
    src = re.sub(r"extern\s+__shared__\s+(?:__align__\s*\(\s*\d+\s*\)\s*)?([\w:\s]+?)\s+(\w+)\s*\[\s*\]\s*;", r"\1* \2 = (\1*)shim_dyn();", src)
    src = re.sub(r"#\s*include\s*<(cuda_fp16|cuda_bf16|cuda_runtime|mma)\.h>", r"// \g<0>", src)
    return '#include "cuda_shim.h"\n#line 1 "kernel.cu"\n' + src + "\n" + "\n".join(f"SHIM_EXPORT({n})" for n in names), names


class RawModule:
    def __init__(self, *, code=None, path=None, options=(), backend="nvrtc", name_expressions=None, **_):
        os.makedirs(CACHE, exist_ok=True)
        src, self.names = _translate(code if code is not None else Path(path).read_text())
        self.check = check = _state.checked
        flags = ["-O2", *[o for o in options if o.startswith(("-D", "-I"))]]
        if check:
            flags += ["-fsanitize=thread", "--param", "tsan-instrument-func-entry-exit=0", "-O1"]
        key = hashlib.sha1(repr((src, flags, check, "-fno-gnu-unique", [_read(f) for f in ("cuda_shim.h", "shim_rt.cpp", "shim_check.cpp")])).encode()).hexdigest()[:16]
        so = os.path.join(CACHE, key + ".so")
        if not os.path.exists(so):
            tmp = f"{so}.{os.getpid()}"
            cu = tmp + ".cpp"
            Path(cu).write_text(src)
            _cxx(*flags, "-c", cu, "-o", tmp + ".o")
            _cxx("-shared", tmp + ".o", *_rt(check), "-o", tmp)
            os.rename(tmp, so)
        self.so = so
        self.lib = ctypes.CDLL(so)
        self.lib.shim_error.restype = ctypes.c_char_p

    def get_function(self, name):
        return _Kernel(self, name)


def RawKernel(code, name, options=(), **more):
    return RawModule(code=code, options=options, **more).get_function(name)


class _Kernel:
    def __init__(self, mod, name):
        self.mod, self.name = mod, name
        self.fn = getattr(mod.lib, name + "__cpu")
        n = getattr(mod.lib, name + "__nargs")
        n.restype = ctypes.c_size_t
        self.nargs = n()

    def __call__(self, grid, block, args, *, shared_mem=0):
        if len(args) != self.nargs:
            raise TypeError(f"{self.name} takes {self.nargs} arguments, got {len(args)}")
        with _lock:
            self._launch(grid, block, args, shared_mem)

    def _launch(self, grid, block, args, shared_mem):
        lib = self.mod.lib
        lib.shim_set_order({"forward": 0, "reverse": 1, "random": 2}[_state.order], _state.seed)
        keep, ptrs, bufs = [], (ctypes.c_void_p * max(1, len(args)))(), []
        for i, a in enumerate(args):
            if isinstance(a, np.ndarray) and a.dtype.names is None:
                a = a.view(np.ndarray)
                p = a.ctypes.data
                if self.mod.check:
                    g = np.full(a.nbytes + 2 * PAD + 64, 0xFF, np.uint8)
                    off = PAD + (-(g.ctypes.data + PAD)) % 64
                    v = g[off : off + a.nbytes]
                    if not (a.flags.c_contiguous):
                        raise EmulatorError("first version: contiguous arrays only")
                    v[:] = a.reshape(-1).view(np.uint8)
                    bufs.append((i, a, g, v))
                    p = g.ctypes.data + off
                c = ctypes.c_void_p(p)
            elif a is None:
                c = ctypes.c_void_p(0)
            else:
                b = np.array(a)
                keep.append(b)
                ptrs[i] = b.ctypes.data
                continue
            keep.append(c)
            ptrs[i] = ctypes.addressof(c)
        if self.mod.check:
            n = len(bufs)
            lib.shim_buffers(n, (ctypes.c_void_p * n)(*[b[3].ctypes.data for b in bufs]), (ctypes.c_size_t * n)(*[b[1].nbytes for b in bufs]), (ctypes.c_int * n)(*[b[0] for b in bufs]))
        gb = (ctypes.c_uint * 6)(*[(tuple(t) + (1, 1, 1))[k] for t in (grid, block) for k in range(3)])
        if self.fn(gb, ctypes.c_size_t(shared_mem), ptrs):
            msg = lib.shim_error().decode()
            m = re.search(r"pc\+0x([0-9a-f]+)", msg)
            if m:
                msg += " @ " + subprocess.run(["addr2line", "-e", self.mod.so, hex(int(m[1], 16) - 1)], capture_output=True, text=True).stdout.strip()
            raise EmulatorError(f"{self.name}: {msg}")
        for _i, a, _g, v in bufs:
            a.reshape(-1)[...] = v.view(a.dtype)

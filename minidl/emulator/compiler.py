"""The C++ compiler, and the libraries that it has made, which are kept on disk."""

from __future__ import annotations

import atexit
import functools
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from minidl.emulator.errors import CompileError, EmulatorError

RUNTIME = Path(__file__).parent / "runtime"
DEVICE_HEADERS = RUNTIME / "device"
HEADERS_NAME = "minidl-emulator"
"""What debug information calls the runtime's folder: installations share the cache."""

_COMMON = ["-std=c++17", "-fPIC", "-g1", "-w", "-fvisibility=hidden", "-fno-omit-frame-pointer"]
# a GPU's arithmetic: nothing is fused or reordered, but no one looks at errno either
_KERNELS = ["-ffp-contract=off", "-fno-math-errno", "-fno-strict-aliasing", "-fno-exceptions"]
_KERNELS += ["-fno-threadsafe-statics"]
_FAULTS = "-fsanitize=integer-divide-by-zero"
_COPIES = "memcpy", "memmove", "memset"
_CHECKS = "-fsanitize=thread,bounds,alignment,shift-exponent,integer-divide-by-zero"


class Compiler:
    """A C++ compiler by its command."""

    def __init__(self, command: list[str]):
        self.command = command
        self.version = self._run(["--version"])
        self.is_clang = "clang" in self.version

    def _run(self, arguments: list[str], folder: str | None = None) -> str:
        command = [*self.command, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
        if done.returncode:
            raise CompileError(done.stderr.strip() or f"{self.command[0]} failed")
        return done.stdout

    def preprocessed(self, text: str, folders: list[str]) -> str:
        """``text`` with its includes and macros expanded."""
        with tempfile.TemporaryDirectory() as work:
            Path(work, "kernel.cpp").write_text(text)
            include = [f"-I{folder}" for folder in [DEVICE_HEADERS, *folders]]
            # not where it was compiled: that folder is gone when a message names the file
            here = [] if self.is_clang else ["-fno-working-directory"]
            return self._run([*_COMMON, *include, *here, "-E", "kernel.cpp"], work)

    def kernel_flags(self, checked: bool) -> list[str]:
        """How kernels are compiled."""
        flags = [*_COMMON, *_KERNELS]
        if not self.is_clang:
            # the static variables of two libraries must not become one
            flags.append("-fno-gnu-unique")
        if not checked:
            return [*flags, "-O2", _FAULTS]
        entries = "tsan-instrument-func-entry-exit=0"
        flags += ["-mllvm", f"-{entries}"] if self.is_clang else ["--param", entries]
        return [*flags, "-O1", _CHECKS]

    def build_kernels(self, text: str, checked: bool, runtime: Path, folder: str) -> Path:
        """The library of preprocessed C++ ``text``, in ``folder``."""
        Path(folder, "kernel.ii").write_text(text)
        # in messages, the source's own name
        names = [f"-ffile-prefix-map={folder}=.", f"-ffile-prefix-map={RUNTIME}={HEADERS_NAME}"]
        flags = [*self.kernel_flags(checked), *names]
        self._run([*flags, "-c", "kernel.ii", "-o", "kernel.o"], folder)
        # the sanitizers' own runtimes are not wanted: the emulator's is what the hooks call
        link = ["-shared", "kernel.o", f"-L{runtime.parent}", f"-l:{runtime.name}"]
        link += [f"-Wl,--wrap={name}" for name in _COPIES if checked]
        self._run([*link, "-Wl,-rpath,$ORIGIN", "-o", "kernel.so"], folder)
        return Path(folder, "kernel.so")

    def build_runtime(self, folder: str) -> Path:
        """The emulator's own library, in ``folder``."""
        files = [str(path) for path in sorted(RUNTIME.glob("*.cpp"))]
        name = f"-Wl,-soname,{runtime_name(self)}"
        self._run([*_COMMON, "-O2", "-shared", *files, name, "-o", "runtime.so"], folder)
        return Path(folder, "runtime.so")


def _command() -> list[str] | None:
    if chosen := os.environ.get("CXX"):
        return shlex.split(chosen)
    return next(([name] for name in ("g++", "clang++") if shutil.which(name)), None)


def is_available() -> bool:
    """Whether there is a C++ compiler, without which the emulator cannot run."""
    command = _command()
    return sys.platform == "linux" and command is not None and shutil.which(command[0]) is not None


@functools.cache
def _compiler(command: tuple[str, ...]) -> Compiler:
    return Compiler(list(command))


def compiler() -> Compiler:
    """The compiler that ``CXX`` names, else g++ or clang++; EmulatorError if there is none."""
    if not is_available():
        wanted = os.environ.get("CXX", "g++ or clang++")
        raise EmulatorError(f"the emulator needs Linux and a C++ compiler: {wanted} is not here")
    return _compiler(tuple(_command()))


@functools.cache
def _fallback_folder() -> Path:
    folder = tempfile.mkdtemp(prefix="minidl-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def cache_folder() -> Path:
    """Where libraries are kept: below ``MINIDL_CACHE_DIR``, or where caches belong.

    If nothing can be written there, a temporary folder of this process.
    """
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(os.environ.get("MINIDL_CACHE_DIR") or Path(base, "minidl"), "emulator")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return _fallback_folder()
    return folder if os.access(folder, os.W_OK) else _fallback_folder()


@functools.cache
def _say_once() -> None:
    # above a progress bar, if there is one
    tqdm.write("minidl: compiling kernels for the emulator (once, then cached)", file=sys.stderr)


def digest(*parts: object) -> str:
    """A short name for what ``parts`` say."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:20]


def cached(name: str, build: Callable[[str], Path]) -> Path:
    """The file ``name`` of the cache; if it is not there, what ``build`` makes in a folder."""
    target = cache_folder() / name
    if not target.exists():
        _say_once()
        with tempfile.TemporaryDirectory(dir=target.parent) as work:
            os.replace(build(work), target)  # other processes see all of it or nothing
    return target


@functools.cache
def _own_text() -> str:
    here = Path(__file__)
    files = [path for path in sorted(RUNTIME.rglob("*")) if path.is_file()]
    return "".join(path.read_text() for path in [here, here.with_name("translation.py"), *files])


def runtime_name(with_compiler: Compiler) -> str:
    """The file name of the emulator's own library."""
    return f"runtime-{digest(_own_text(), with_compiler.version)}.so"


def runtime_library(with_compiler: Compiler) -> Path:
    """The emulator's own library."""
    return cached(runtime_name(with_compiler), with_compiler.build_runtime)

"""Compiled CUDA C: what `cupy.RawModule` and `cupy.RawKernel` are for a GPU."""

from __future__ import annotations

import ctypes
import math
import os
import re
from pathlib import Path
from typing import Any

from minidl.emulator import launch
from minidl.emulator.arguments import Parameter, exposed, extents_of, marshalled
from minidl.emulator.checking import is_checked
from minidl.emulator.compiler import HEADERS_NAME, cached, compiler, digest, runtime_library
from minidl.emulator.errors import CompileError, LaunchError
from minidl.emulator.report import error_of
from minidl.emulator.symbols import shared_variables
from minidl.emulator.translation import EXPORT, prepared, translated

_MOST_STATIC_SHARED = 48 << 10
_MOST_SHARED = 227 << 10
_MOST_BLOCKS = (2**31 - 1, 65535, 65535)
_MOST_THREADS = (1024, 1024, 64)
# what only decides how fast a GPU's code is, or which GPU's it is
_IGNORED = re.compile(
    r"--?(std=|use_fast_math|fmad=|ftz=|prec-|lineinfo|maxrregcount|restrict|arch=|"
    r"gpu-architecture|default-device|device-debug|generate-line-info|extra-device|ptxas-options)"
)


class RawModule:
    """CUDA C compiled for the emulator; the arguments are those of `cupy.RawModule`.

    Parameters
    ----------
    code, path : str
        The source, or its file.
    options : tuple of str
        ``-DNAME=VALUE`` and ``-IFOLDER``; those that only tune a GPU's code are ignored.
    backend : {"nvrtc", "nvcc"}
        Accepted, and without effect.
    name_expressions : sequence of str
        Kernels that are not ``extern "C"``, such as ``"scale<float>"``.

    A kernel is compiled when it is asked for, and again when it is first launched in the other
    mode, checked or not.
    """

    def __init__(
        self,
        *,
        code: str | None = None,
        path: str | None = None,
        options: tuple[str, ...] = (),
        backend: str = "nvrtc",
        translate_cucomplex: bool = False,
        enable_cooperative_groups: bool = False,
        name_expressions: Any = None,
        jitify: bool = False,
    ):
        if (code is None) == (path is None):
            raise TypeError("RawModule takes either code= or path=")
        if backend not in ("nvrtc", "nvcc"):
            raise ValueError(f"there is no backend {backend!r}; choose from nvrtc, nvcc")
        if translate_cucomplex or enable_cooperative_groups or jitify:
            raise NotImplementedError(
                "the emulator has no complex numbers, no cooperative groups and no Jitify"
            )
        self.file = "kernel.cu" if path is None else os.path.basename(path)
        self.code = Path(path).read_text() if code is None else code
        self.name_expressions = tuple(name_expressions or ())
        self.macros = [option for option in options if option.startswith("-D")]
        self.folders = [os.path.abspath(o[2:]) for o in options if o.startswith("-I")]
        if path is not None:
            self.folders.insert(0, os.path.dirname(os.path.abspath(path)))
        for option in options:
            if not option.startswith(("-D", "-I")) and not _IGNORED.match(option):
                raise ValueError(f"the emulator cannot honour the option {option!r}")
        self._libraries: dict[bool, _Library] = {}

    def get_function(self, name: str) -> Kernel:
        """The kernel of this name, one declared ``extern "C"`` or a name expression."""
        return Kernel(self, name)

    def library(self, checked: bool) -> _Library:
        """The module compiled for one mode."""
        if checked not in self._libraries:
            self._libraries[checked] = self._built(checked)
        return self._libraries[checked]

    def _built(self, checked: bool) -> _Library:
        using = compiler()
        runtime = runtime_library(using)
        text = prepared(self.code, self.file, self.macros)
        # what other files hold is part of the key
        key_text = text
        if re.search(r'^\s*#\s*include\s*"', self.code, re.MULTILINE):
            key_text = using.preprocessed(text, self.folders)
        flags = using.kernel_flags(checked)
        key = digest(
            key_text, self.name_expressions, flags, using.version, runtime.name, HEADERS_NAME
        )

        def build(folder: str) -> Path:
            cpp, names = translated(using.preprocessed(text, self.folders), self.name_expressions)
            listing = ", ".join(f'"{name}"' for name in [*names, ""])
            cpp += f"{EXPORT} const char* const emulator_names[] = {{{listing}}};\n"
            return using.build_kernels(cpp, checked, runtime, folder)

        return _Library(cached(f"{key}.so", build), runtime, checked)


class _KernelStructure(ctypes.Structure):
    """EmulatorKernel of interface.h."""

    class _Parameter(ctypes.Structure):
        _fields_ = [("size", ctypes.c_uint), ("kind", ctypes.c_char)]

    _fields_ = [
        ("call", ctypes.c_void_p),
        ("parameters", ctypes.POINTER(_Parameter)),
        ("count", ctypes.c_uint),
        ("most_threads", ctypes.c_uint),
    ]


class _Library:
    """The kernels of a module, compiled and loaded for one mode."""

    def __init__(self, path: Path, runtime: Path, checked: bool):
        self.path, self.checked = path, checked
        self.runtime = launch.runtime(runtime)
        self.loaded = ctypes.CDLL(str(path))
        self.anchor = ctypes.cast(self.loaded.emulator_shared_anchor, ctypes.c_void_p).value
        self.variables = shared_variables(path)
        self.kernels = {name: self._kernel(i) for i, name in enumerate(self._names())}

    def _names(self) -> list[str]:
        names, found = [], (ctypes.c_char_p * (1 << 16)).in_dll(self.loaded, "emulator_names")
        while found[len(names)]:
            names.append(found[len(names)].decode())
        return names

    def _kernel(self, number: int) -> _KernelStructure:
        return _KernelStructure.in_dll(self.loaded, f"emulator_kernel_{number}")


class Kernel:
    """A kernel of a `RawModule`, to be called as ``kernel(grid, block, args, shared_mem=0)``.

    Arguments are arrays of the device or of NumPy, None as a null pointer, numbers, and
    structured arrays of one element by value. As with CuPy, a Python int has 64 bits and a
    float is a double; what does not fit the kernel's parameter is a TypeError.
    """

    def __init__(self, module: RawModule, name: str):
        self.module, self.name = module, name
        self._parameters = None
        self._structures: dict[bool, _KernelStructure] = {}
        self._allowed_dynamic: int | None = None
        self._in_mode(is_checked())

    def _in_mode(self, checked: bool) -> tuple[_Library, _KernelStructure]:
        library = self.module.library(checked)
        if self.name not in library.kernels:
            there = ", ".join(library.kernels) or "none"
            raise CompileError(
                f'{self.module.file} has no kernel {self.name!r} that is extern "C" or in '
                f"name_expressions; there are: {there}"
            )
        return library, library.kernels[self.name]

    @property
    def shared_size_bytes(self) -> int:
        """Static shared memory of a block, without that of functions which the kernel calls."""
        variables = self._in_mode(is_checked())[0].variables
        return sum(variable.size for variable in variables if variable.belongs_to(self.name))

    @property
    def max_dynamic_shared_size_bytes(self) -> int:
        """The most dynamic shared memory of a launch, 48 KB in all unless it is raised."""
        if self._allowed_dynamic is None:
            return max(_MOST_STATIC_SHARED - self.shared_size_bytes, 0)
        return self._allowed_dynamic

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, size: int) -> None:
        if size + self.shared_size_bytes > _MOST_SHARED:
            raise LaunchError(f"{self.name}: no GPU has {size} bytes of dynamic shared memory")
        self._allowed_dynamic = size

    def __call__(
        self, grid: tuple[int, ...], block: tuple[int, ...], args: Any, *, shared_mem: int = 0
    ) -> None:
        """Run the kernel on ``grid`` blocks of ``block`` threads; it has ended on return."""
        checked = is_checked()
        library, structure = self._in_mode(checked)
        parameters = self._parameters
        if parameters is None:
            found = structure.parameters[: structure.count]
            parameters = self._parameters = [Parameter(p.size, p.kind.decode()) for p in found]
        grid, block = self._sizes(grid, block, structure.most_threads)
        self._check_shared(shared_mem)
        data = marshalled(self.name, parameters, args)
        extents, regions = [], []
        if checked:
            extents = extents_of(args) + exposed()
            regions = launch.regions_of(extents, library.variables)
        report = launch.run(
            library.runtime,
            ctypes.addressof(structure),
            library.anchor,
            grid,
            block,
            shared_mem,
            data,
            regions,
            checked,
        )
        if report:
            raise error_of(report, self.name, library.path, extents, library.variables)

    def _sizes(self, grid: Any, block: Any, most_threads: int) -> tuple[tuple, tuple]:
        sizes = []
        for what, given, most in (("grid", grid, _MOST_BLOCKS), ("block", block, _MOST_THREADS)):
            size = tuple(map(int, given))
            if len(size) > 3 or not all(1 <= n <= m for n, m in zip(size, most)):
                raise LaunchError(f"{self.name}: a {what} of {size}; 1 to {most} is possible")
            sizes.append(size + (1,) * (3 - len(size)))
        if math.prod(sizes[1]) > most_threads:
            raise LaunchError(
                f"{self.name}: a block of {sizes[1]} has {math.prod(sizes[1])} threads; "
                f"{most_threads} are possible"
            )
        return tuple(sizes)

    def _check_shared(self, dynamic: int) -> None:
        static = self.shared_size_bytes
        if static > _MOST_STATIC_SHARED:
            raise LaunchError(
                f"{self.name}: {static} bytes of static shared memory; 48 KB are possible"
            )
        if not 0 <= dynamic <= self.max_dynamic_shared_size_bytes:
            raise LaunchError(
                f"{self.name}: {dynamic} bytes of dynamic shared memory; "
                f"{self.max_dynamic_shared_size_bytes} are possible unless "
                "max_dynamic_shared_size_bytes is raised, beside static memory up to 227 KB"
            )


class RawKernel(Kernel):
    """The kernel ``name`` of ``code``; the arguments are those of `cupy.RawKernel`."""

    def __init__(self, code: str, name: str, options: tuple[str, ...] = (), **more: Any):
        super().__init__(RawModule(code=code, options=options, **more), name)

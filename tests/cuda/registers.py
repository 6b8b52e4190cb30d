"""Compiles every `.cu` file with NVRTC, which needs no GPU, and reads what ptxas says of it.

``python tests/cuda/registers.py`` writes the table that `test_cuda_compile.py` compares with:
registers per thread of every kernel in every variant and for every architecture.
"""

import re
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import nvidia.cuda_runtime
from cupy.cuda import nvrtc

import minidl.kernels  # noqa: F401  (the families declare their sources when imported)
from minidl.kernels.cuda import sources

TABLE = Path(__file__).with_name("registers.txt")
ARCHITECTURES = (75, 80, 90)
VERSION = "NVRTC {}.{}".format(*nvrtc.getVersion())
PINNED = "NVRTC 12.9"  # as setup.cfg has it; beside PyTorch for CUDA, CuPy may find another

_HEADERS = Path(next(iter(nvidia.cuda_runtime.__path__))) / "include"
_KERNEL = re.compile(
    r"entry function '(\w+)'.*?(\d+) bytes spill stores, (\d+) bytes spill loads"
    r".*?Used (\d+) registers",
    re.DOTALL,
)


class Compiled(NamedTuple):
    """What became of one kernel."""

    file: str
    kernel: str
    definitions: str
    architecture: int
    registers: int
    spilled: int


def compile_file(file: str) -> list[Compiled]:
    """Every kernel of one `.cu` file, in all its variants, for all architectures."""
    source = sources[file]
    jobs = [
        (file, source.text, {key: value for key, value in variant.items() if key != "arch"}, arch)
        for variant in source.variants
        for arch in ARCHITECTURES
        if arch >= variant.get("arch", ARCHITECTURES[0])
    ]
    with ThreadPoolExecutor() as threads:
        return list(chain(*threads.map(_compile, *zip(*jobs))))


def _compile(file: str, text: str, definitions: dict, architecture: int) -> list[Compiled]:
    macros = [f"{key}={value}" for key, value in definitions.items()]
    options = ["--std=c++17", f"-arch=sm_{architecture}", "--ptxas-options=-v", f"-I{_HEADERS}"]
    program = nvrtc.createProgram(text, file, (), ())
    try:
        nvrtc.compileProgram(program, (*options, *(f"-D{macro}" for macro in macros)))
    except nvrtc.NVRTCError:
        log = nvrtc.getProgramLog(program)
        raise AssertionError(f"{file}, {' '.join(macros)}, sm_{architecture}:\n{log}") from None
    found = _KERNEL.findall(nvrtc.getProgramLog(program))
    nvrtc.destroyProgram(program)
    return [
        Compiled(file, name, " ".join(macros), architecture, int(used), int(stores) + int(loads))
        for name, stores, loads, used in found
    ]


def rows(compiled: list[Compiled]) -> list[str]:
    """The table's rows: a kernel in one variant each, its registers by architecture."""
    found: dict[tuple, dict[int, int]] = {}
    for kernel in compiled:
        found.setdefault(kernel[:3], {})[kernel.architecture] = kernel.registers
    return [
        f"{file:28}{name:28}"
        + "".join(f"{by_arch.get(arch, '-'):>6}" for arch in ARCHITECTURES)
        + f"  {definitions}"
        for (file, name, definitions), by_arch in sorted(found.items())
    ]


def main() -> None:
    """Write the table anew."""
    if VERSION != PINNED:
        raise SystemExit(
            f"this is {VERSION}; the table is {PINNED}'s, of an environment without others"
        )
    header = f"{VERSION + ': registers per thread':56}"
    header += "".join(f"{f'sm_{arch}':>6}" for arch in ARCHITECTURES) + "  definitions"
    lines = [row for file in sorted(sources) for row in rows(compile_file(file))]
    TABLE.write_text("\n".join([header, *lines]) + "\n")
    print(f"{TABLE}: {len(lines)} rows")


if __name__ == "__main__":
    main()

"""Every `.cu` file compiles for every architecture, without spills, into what the table says.

What makes a kernel take more registers makes it slower, and nobody sees it in the source: so
a change of the table is a decision. ``python tests/cuda/registers.py`` writes it.
"""

from pathlib import Path

import pytest

pytest.importorskip("cupy", reason="the compile gate needs CuPy and NVRTC: .[test-cuda]")
pytest.importorskip("nvidia.cuda_runtime", reason="needs CUDA's headers: .[test-cuda]")

import registers
from registers import TABLE, VERSION, compile_file, sources

import minidl.kernels

_HEADER, *_ROWS = TABLE.read_text().splitlines()


@pytest.mark.parametrize("file", sorted(sources))
def test_compiles_without_spills_into_what_the_table_says(file):
    compiled = compile_file(file)
    assert compiled, "no kernel found"
    spilled = [kernel for kernel in compiled if kernel.spilled]
    assert not spilled, f"registers spilled to memory: {spilled}"
    if not _HEADER.startswith(VERSION):
        pytest.skip(f"the table of registers is another compiler's, this is {VERSION}")
    recorded = [row for row in _ROWS if row.startswith(f"{file} ")]
    assert registers.rows(compiled) == recorded, "run tests/cuda/registers.py"


def test_every_kernel_in_the_table_exists():
    assert {row.split()[0] for row in _ROWS} == set(sources)


def test_every_cu_file_is_launched_by_some_module():
    folder = Path(minidl.kernels.__file__).parent
    files = {f"{path.parent.name}/{path.name}" for path in folder.rglob("*.cu")}
    assert files == set(sources)

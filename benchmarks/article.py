"""The article's whole program, here and in PyTorch: time from start to finish, and accuracy."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
PROGRAMS = {
    "minidl": HERE.parent / "examples" / "article.py",
    "minidl compiled": HERE.parent / "examples" / "article_compiled.py",
    "PyTorch": HERE / "article_torch.py",
}


def run(program: Path, data: Path) -> tuple[float, float]:
    """One run of a program that finds its data in ``./data``: seconds and test accuracy in %.

    ``data`` holds ``cifar-10-batches-py``. RuntimeError with the last line that the program
    printed if it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "data").symlink_to(data.resolve(), target_is_directory=True)
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, str(program)], cwd=folder, capture_output=True, text=True
        )
        seconds = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"{program.name} failed: {(done.stderr.splitlines() or [''])[-1]}")
    return seconds, float(re.findall(r": ([\d.]+) %", done.stdout)[-1])

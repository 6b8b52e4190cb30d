"""A data set of noise in the layout of a real one, for programs that look for files."""

from pathlib import Path

import numpy as np

CLASSES = [f"class{i}" for i in range(10)]


def tiny_cifar10(root: Path, per_file: int) -> Path:
    """``root``, with a CIFAR-10 of six files in the official binary layout in it."""
    folder = root / "cifar-10-batches-bin"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        records = rng.integers(0, 256, (per_file, 3073), np.uint8)
        records[:, 0] %= 10
        (folder / f"{name}.bin").write_bytes(records.tobytes())
    (folder / "batches.meta.txt").write_text("\n".join(CLASSES) + "\n")
    return root

"""The picture of a report; matplotlib, where it is installed, is imported here alone."""

from __future__ import annotations

import os

from minidl.compress.report import Report

try:
    from matplotlib.figure import Figure
except ImportError:
    Figure = None


def plot(report: Report, path: str | os.PathLike) -> None:
    """Draw accuracy against the size of the file and against the latency of one picture.

    ImportError if matplotlib is missing.
    """
    if Figure is None:
        raise ImportError("the picture of a report needs matplotlib: pip install minidl[plot]")
    rows = report.rows
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    sides = (
        ("size of the file, deflated (KB)", [row.packed_bytes / 1000 for row in rows]),
        ("latency of one picture (ms)", [row.latency_ms[1] for row in rows]),
    )
    heights = [100 * row.accuracy for row in rows]
    for axis, (label, places) in zip(axes, sides):
        axis.plot(places, heights, color="0.75", zorder=1)
        for i, (x, y, row) in enumerate(zip(places, heights, rows)):
            axis.scatter(x, y, s=60, color=f"C{i}", zorder=2, label=row.step)
        axis.set_xlabel(label)
        axis.set_xlim(0, 1.1 * max(places))
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("test accuracy (%)")
    margin = max(1.0, 0.3 * (max(heights) - min(heights)))
    axes[0].set_ylim(min(heights) - margin, max(heights) + margin)
    axes[1].legend(loc="lower left")
    figure.savefig(path, dpi=110)

"""The pictures that a CIFAR-10 run ends with: curves, confusion matrix, filters.

Needs matplotlib (``pip install .[plot]``).
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure


def draw(
    folder: Path,
    history: list[dict],
    confusion: np.ndarray,
    classes: list[str],
    filters: np.ndarray,
) -> list[Path]:
    """Draw everything into ``folder``; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = {
        "curves.png": curves(history),
        "confusion.png": confusion_matrix(confusion, classes),
        "filters.png": first_filters(filters),
    }
    for name, figure in figures.items():
        figure.savefig(folder / name, dpi=120)
        plt.close(figure)
    return [folder / name for name in figures]


def curves(history: list[dict]) -> Figure:
    """Loss and accuracy against epochs."""
    epochs = np.arange(1, len(history) + 1)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    left.plot(epochs, [row["loss"] for row in history], "o-", color="tab:red")
    left.set(xlabel="epoch", ylabel="training loss", title="loss", ylim=(0, None))
    for key, label in (("train_accuracy", "training"), ("test_accuracy", "test")):
        right.plot(epochs, [100 * row[key] for row in history], "o-", label=label)
    right.set(xlabel="epoch", ylabel="accuracy in %", title="accuracy", ylim=(0, 100))
    right.legend(loc="lower right")
    for axes in (left, right):
        axes.set_xticks(epochs)
        axes.grid(alpha=0.3)
    return figure


def confusion_matrix(confusion: np.ndarray, classes: list[str]) -> Figure:
    """The share of each true class (row) that was taken for each class (column)."""
    share = 100 * confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    figure, axes = plt.subplots(figsize=(6.6, 6), layout="constrained")
    axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
    ticks = np.arange(len(classes))
    axes.set_xticks(ticks, classes, rotation=45, ha="right")
    axes.set_yticks(ticks, classes)
    axes.set(xlabel="predicted", ylabel="true", title="confusion in % of the true class")
    for i, j in np.ndindex(*share.shape):
        if share[i, j] > 0.5:
            colour = "white" if share[i, j] > 55 else "black"
            axes.text(j, i, f"{share[i, j]:.0f}", ha="center", va="center", color=colour)
    return figure


def first_filters(filters: np.ndarray) -> Figure:
    """The first convolution's filters (O, 3, R, S) as colour pictures, each scaled to [0, 1]."""
    columns = min(len(filters), 8)
    rows = -(-len(filters) // columns)
    figure, grid = plt.subplots(
        rows,
        columns,
        figsize=(1.1 * columns, 1.1 * rows + 0.4),
        squeeze=False,
        layout="constrained",
    )
    figure.suptitle("first-layer filters")
    for axes in grid.flat:
        axes.axis("off")
    for axes, weights in zip(grid.flat, filters):
        low, high = weights.min(), weights.max()
        axes.imshow((weights.transpose(1, 2, 0) - low) / max(high - low, 1e-12))
    return figure

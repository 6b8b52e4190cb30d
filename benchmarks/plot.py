"""The picture of a page of figures: a bar for each workload, on a logarithmic axis of ratios."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from statistics import median

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from benchmarks import summary

_COLOURS = {"minidl": "#4c86c6", "minidl compiled": "#e08a3c"}
_OTHERS = {"torch.compile": ("D", "#7a5195"), "JAX": ("o", "#3a9a63")}
_ROW = 0.21  # inches
_ONE_COLUMN = 30  # rows
_HEADING = 1.8  # rows: a family's title and axis


def draw(page: dict, file: Path) -> None:
    """Draw the ratios of all rows into a file whose name says in which format."""
    rows = [row for row in page["rows"] if any(_ratio(row, name) for name in summary.OURS)]
    columns = _columns(rows)
    tallest = max(map(_rows_of, columns))
    height = 1.8 + _ROW * tallest
    figure = Figure(figsize=(7.2 * len(columns), height), layout="constrained")
    what = "how many times the peer's speed (of memory: how many times less)"
    figure.suptitle(f"minidl: {what}\n{page['machine']}", fontsize=11)
    span = _span(rows, page["ceilings"])
    outer = figure.add_gridspec(1, len(columns))
    for place, column in zip(outer, columns):
        # what is left over at the bottom keeps rows as high as in the other column
        heights = [*(len(family) + _HEADING for family in column), tallest - _rows_of(column)]
        inner = place.subgridspec(len(heights), 1, height_ratios=[h + 1e-3 for h in heights])
        for i, family in enumerate(column):
            _family(figure.add_subplot(inner[i]), family, page["ceilings"], span)
    figure.legend(handles=_legend(), loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    figure.savefig(file, dpi=130, facecolor="white")


def _rows_of(column: list[list[dict]]) -> float:
    return sum(len(family) + _HEADING for family in column)


def _columns(rows: list[dict]) -> list[list[list[dict]]]:
    """The families, in two columns of about the same height if there are many."""
    families = [list(group) for _, group in groupby(rows, key=lambda row: row["family"])]
    columns: list[list[list[dict]]] = [[], []] if len(rows) > _ONE_COLUMN else [[]]
    for family in sorted(families, key=len, reverse=True):
        min(columns, key=_rows_of).append(family)
    for column in columns:
        column.sort(key=families.index)
    return sorted(columns, key=lambda column: families.index(column[0]))


def _ratio(row: dict, name: str) -> float | None:
    """How many times the peer's speed a contender has."""
    ratios = summary.ratios(row, name, row["peer"])
    return median(ratios) if ratios else None


def _ceiling(row: dict, rates: dict[str, float]) -> float | None:
    """How many times the peer's speed the machine could do."""
    least, peer = summary.ceiling_seconds(row, rates), row["figures"].get(row["peer"])
    return median(peer) / least if least and peer else None


def _span(rows: list[dict], rates: dict[str, float]) -> tuple[float, float]:
    """One axis for all: every bar and target fits, and most ceilings."""
    shown = [0.5, 2.0]
    for row in rows:
        shown += [ratio for name in summary.OURS if (ratio := _ratio(row, name))]
        shown += [target["aim"] or target["times"] or 1.0 for target in row["targets"]]
    return max(min(shown) / 1.4, 0.01), min(max(shown) * 1.4, 1000.0)


def _family(
    axes: Axes, rows: list[dict], rates: dict[str, float], span: tuple[float, float]
) -> None:
    axes.set_title(rows[0]["family"], loc="left", fontsize=9, fontweight="bold", pad=3)
    axes.set(xscale="log", xlim=span, ylim=(len(rows) - 0.4, -0.6))
    axes.set_yticks(range(len(rows)), [row["name"] for row in rows], fontsize=7.5)
    axes.xaxis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}x"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="x", labelsize=7, length=2)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.axvline(1.0, color="#444444", linewidth=1.0, zorder=3)
    for y, row in enumerate(rows):
        _bars(axes, y, row)
        _marks(axes, y, row, rates)


def _bars(axes: Axes, y: int, row: dict) -> None:
    """A bar from 1x for each of ours, with the range of the rounds and the number at its end."""
    ours = [name for name in summary.OURS if _ratio(row, name)]
    height = 0.76 / max(len(ours), 1)
    for i, name in enumerate(ours):
        ratios, place = summary.ratios(row, name, row["peer"]), y - 0.38 + height * (i + 0.5)
        value, low, high = median(ratios), min(ratios), max(ratios)
        axes.barh(place, value - 1, height * 0.9, left=1.0, color=_COLOURS[name], zorder=2)
        axes.plot((low, high), (place, place), color="#222222", linewidth=0.7, zorder=4)
        right = value >= 1
        axes.annotate(
            f"{value:.3g}",
            (high if right else low, place),
            (3 if right else -3, 0),
            textcoords="offset points",
            ha="left" if right else "right",
            va="center",
            fontsize=6,
            color="#333333",
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.4},
            zorder=7,
        )


def _marks(axes: Axes, y: int, row: dict, rates: dict[str, float]) -> None:
    """The other libraries, the targets and the ceiling."""
    for name, (marker, colour) in _OTHERS.items():
        if ratio := _ratio(row, name):
            axes.plot(ratio, y, marker, color=colour, markersize=3.5, zorder=8)
    for target in row["targets"]:
        if target["times"]:
            axes.plot(target["times"], y, "|", color="#c0273d", markersize=9, mew=1.8, zorder=8)
    if ceiling := _ceiling(row, rates):
        axes.plot((ceiling, ceiling), (y - 0.42, y + 0.42), color="black", linewidth=1.2, zorder=3)


def _legend() -> list[Patch | Line2D]:
    bars = [Patch(color=colour, label=name) for name, colour in _COLOURS.items()]
    marks = [
        Line2D([], [], marker=marker, color=colour, linestyle="", markersize=4, label=name)
        for name, (marker, colour) in _OTHERS.items()
    ]
    line = {"linestyle": "", "marker": "|", "markersize": 9}
    return [
        *bars,
        *marks,
        Line2D([], [], color="#c0273d", mew=1.8, label="target", **line),
        Line2D([], [], color="black", mew=1.2, label="ceiling of the machine", **line),
        Line2D([], [], color="#444444", linewidth=1.0, label="1x: the peer's speed"),
    ]

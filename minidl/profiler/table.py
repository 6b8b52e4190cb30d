"""The table of a profile."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from minidl.profiler.averages import FunctionAverage, Summary
from minidl.profiler.machine import Ceilings, ceilings, processor
from minidl.profiler.watch import KERNEL, OPERATOR

SORT_KEYS = ("self_cpu_time_total", "cpu_time_total", "cpu_time", "count", "flops", "bytes")
"""What a table can be sorted by: the largest first."""

_WIDEST = 44  # characters of a name
_UNITS = (1e6, "s", 3), (1e3, "ms", 3), (1, "µs", 1)


class Averages(list[FunctionAverage]):
    """What `minidl.profiler.profile.key_averages` returns: a list that prints as a table."""

    def __init__(self, averages: Iterable[FunctionAverage], summary: Summary):
        super().__init__(averages)
        self.summary = summary

    def table(self, sort_by: str = "self_cpu_time_total", row_limit: int = 100) -> str:
        """The table, as text; the machine's ceilings are measured for it, once in a process.

        Parameters
        ----------
        sort_by : str
            "self_cpu_time_total", "cpu_time_total", "cpu_time" (of one call), "count", "flops"
            or "bytes": the largest first.
        row_limit : int
            The most operators and kernels to show; -1 for all. The rest becomes one row.

        Raises
        ------
        ValueError
            For another ``sort_by`` or ``row_limit``.
        """
        if sort_by not in SORT_KEYS:
            raise ValueError(f"table: sort_by={sort_by!r} is none of {', '.join(SORT_KEYS)}")
        if not isinstance(row_limit, int) or row_limit < -1:
            raise ValueError(f"table: row_limit is a number of rows or -1, got {row_limit!r}")
        ordered = sorted(self, key=lambda average: getattr(average, sort_by) or 0, reverse=True)
        computations = [a for a in ordered if a.kind in (OPERATOR, KERNEL)]
        shown = len(computations) if row_limit == -1 else row_limit
        ranges = [a for a in ordered if a not in computations]
        most = None if self.summary.device == "emulator" else ceilings(self.summary.device)
        writer = _Writer(self.summary, most)
        parts = [
            writer.head(computations),
            writer.computations(computations[:shown], computations[shown:]),
            writer.ranges(ranges) if ranges else [],
        ]
        return "\n\n".join("\n".join(part) for part in parts if part)

    def __str__(self) -> str:
        return self.table()


class _Writer:
    """Writes the parts of a table, in one unit of time."""

    def __init__(self, summary: Summary, most: Ceilings | None):
        self.summary = summary
        self.most = most
        self.scale, self.unit, self.decimals = next(
            (unit for unit in _UNITS if summary.time >= 10 * unit[0]), _UNITS[-1]
        )

    def head(self, averages: Sequence[FunctionAverage]) -> list[str]:
        """What was measured, and on what."""
        counts = [
            f"{sum(a.count for a in averages if a.kind == kind)} {kind}s"
            for kind in (OPERATOR, KERNEL)
        ]
        machine = processor() if self.most is None else self.most.processor
        first = f"{self.time(self.summary.time)} {self.unit}, {', '.join(counts)}; {machine}"
        if self.most is None:
            return [f"{first}, emulating a GPU: no times of one"]
        return [
            first,
            f"ceilings: {_number(self.most.flops / 1e9)} GFLOP/s (float32 product of matrices), "
            f"{_number(self.most.bandwidth / 1e9)} GB/s (copy)",
        ]

    def computations(
        self, shown: Sequence[FunctionAverage], rest: Sequence[FunctionAverage]
    ) -> list[str]:
        """Operators and kernels, what was between them, and the total."""
        head = ["name", "calls", f"self, {self.unit}", "share", f"total, {self.unit}"]
        head += ["GFLOP/s", *self._of(lambda most: most.flops)]
        head += ["GB/s", *self._of(lambda most: most.bandwidth), "bytes"]
        rows = [self._row(average) for average in shown]
        if rest:
            own = sum(average.self_cpu_time_total for average in rest)
            calls = str(sum(average.count for average in rest))
            rows.append([f"({len(rest)} more)", calls, *self._shared(own)])
        rows.append(["Python between operators", "", *self._shared(self.summary.outside)])
        whole = self.summary
        total = ["total", "", *self._shared(whole.time), self.time(whole.time)]
        total += self._rates(whole.flops, whole.bytes, whole.time)
        lines = _aligned([head, *rows, total], lines_before=(1, len(rows) + 1))
        return _beside(lines, [" ".join(average.input_shapes) for average in shown])

    def ranges(self, averages: Sequence[FunctionAverage]) -> list[str]:
        """Phases, and ranges by name."""
        head = ["range", "calls", f"total, {self.unit}", "share", f"Python in it, {self.unit}"]
        rows = [
            [
                _shortened(average.key),
                str(average.count),
                *self._shared(average.cpu_time_total),
                self.time(average.self_cpu_time_total),
            ]
            for average in averages
        ]
        return _aligned([head, *rows], lines_before=(1,))

    # ----------------------------------------------------------------- cells

    def _row(self, average: FunctionAverage) -> list[str]:
        return [
            _shortened(average.key),
            str(average.count),
            *self._shared(average.self_cpu_time_total),
            self.time(average.cpu_time_total),
            *self._rates(average.flops, average.bytes, average.cpu_time_total),
        ]

    def time(self, microseconds: float) -> str:
        """A time in the table's unit."""
        return f"{microseconds / self.scale:.{self.decimals}f}"

    def _shared(self, microseconds: float) -> list[str]:
        """A time, and its share of the whole."""
        share = microseconds / self.summary.time if self.summary.time else 0
        return [self.time(microseconds), f"{share:.1%}"]

    def _rates(self, flops: int | None, bytes: int, microseconds: float) -> list[str]:
        """How much of what in a second, with the percentages of the ceilings; and the bytes."""
        return [
            *self._rate(flops, microseconds, lambda most: most.flops),
            *self._rate(bytes, microseconds, lambda most: most.bandwidth),
            _bytes(bytes),
        ]

    def _rate(
        self, amount: int | None, microseconds: float, ceiling: Callable[[Ceilings], float]
    ) -> list[str]:
        if not amount or not microseconds:
            return ["", *self._of(lambda _: 0)]
        rate = amount / microseconds * 1e6
        share = [] if self.most is None else [f"{rate / ceiling(self.most):.0%}"]
        return [_number(rate / 1e9), *share]

    def _of(self, ceiling: Callable[[Ceilings], float]) -> list[str]:
        """The head of a column of percentages, empty for 0; none if there are no ceilings."""
        if self.most is None:
            return []
        most = ceiling(self.most)
        return [f"of {_number(most / 1e9)}" if most else ""]


def _shortened(name: str) -> str:
    return name if len(name) <= _WIDEST else name[: _WIDEST - 1] + "…"


def _number(value: float) -> str:
    """Three digits, more for large numbers."""
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}"


def _bytes(count: int) -> str:
    if not count:
        return ""
    for scale, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= scale:
            return f"{_number(count / scale)} {unit}"
    return f"{count} B"


def _beside(lines: list[str], texts: list[str]) -> list[str]:
    """The lines of a table with ``texts`` behind its rows, if there are any."""
    if not any(texts):
        return lines
    width = max(map(len, lines))
    column = ["arguments", "", *texts]
    column += [""] * (len(lines) - len(column))
    return [f"{line:{width}}  {text}".rstrip() for line, text in zip(lines, column)]


def _aligned(rows: list[list[str]], lines_before: tuple[int, ...]) -> list[str]:
    """Names to the left, numbers to the right; with lines before the rows of these indices.

    The first row has a head for every column that there may be; short rows are filled up.
    """
    rows = [[*row, *[""] * (len(rows[0]) - len(row))] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows)]
    line = "-" * (sum(widths) + 2 * (len(widths) - 1))
    lines = []
    for i, (name, *numbers) in enumerate(rows):
        cells = [cell.rjust(width) for cell, width in zip(numbers, widths[1:])]
        lines += [line] if i in lines_before else []
        lines.append("  ".join([name.ljust(widths[0]), *cells]).rstrip())
    return lines

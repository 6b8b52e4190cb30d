"""The table of a page of figures, which is valid Markdown."""

from __future__ import annotations

from collections import defaultdict
from statistics import median

from benchmarks import summary

_HEADER = (
    "workload",
    "minidl",
    "peer",
    "x peer (range)",
    "x torch.compile",
    "x JAX",
    "of ceiling",
    "target",
)
_OTHERS = ("torch.compile", "JAX")
_BUSY = 0.5  # cores in use before the run began: threads that wait for each other wait for these


def text(page: dict) -> str:
    """Machine, table, ceilings, notes, and what was skipped, disagrees or failed."""
    rates = page["ceilings"]
    lines = [_line(row, name, rates) for row in page["rows"] for name in summary.measured(row)]
    versions = ", ".join(f"{name} {version}" for name, version in page["versions"].items())
    parts = [
        f"{page['machine']}; {versions}",
        _busy(page["load"]),
        _aligned([_HEADER, *lines]),
        _ceilings(rates),
        *_notes(page["rows"]),
        *_skipped(page["rows"]),
        f"Not measured, time was up: {', '.join(page['left_out'])}." if page["left_out"] else "",
        *(f"**DISAGREES** {line}" for line in summary.disagreements(page["rows"])),
        *(f"**FAILED** {line}" for _, line in summary.failures(page["rows"])),
    ]
    return "\n\n".join(part for part in parts if part)


def _busy(load: float | None) -> str:
    if load is None or load < _BUSY:
        return ""
    return f"**Other programs were running (load {load:.1f}): these figures are unreliable.**"


def _line(row: dict, name: str, rates: dict[str, float]) -> tuple[str, ...]:
    return (
        row["name"] + (", compiled" if name == "minidl compiled" else ""),
        f"{_number(summary.figure(row, name))} {row['unit']}",
        _peer(row),
        _spread(summary.ratios(row, name, row["peer"])),
        *(_times(summary.ratios(row, name, other)) for other in _OTHERS),
        _share(row, name, rates),
        _target(row, name),
    )


def _peer(row: dict) -> str:
    value = summary.figure(row, row["peer"])
    if value is None:
        return ""
    return _number(value) + ("" if row["peer"] == "PyTorch" else f" ({row['peer']})")


def _spread(ratios: list[float]) -> str:
    if not ratios:
        return ""
    return f"{median(ratios):.2f} ({min(ratios):.2f}..{max(ratios):.2f})"


def _times(ratios: list[float]) -> str:
    return f"{median(ratios):.2f}" if ratios else ""


def _share(row: dict, name: str, rates: dict[str, float]) -> str:
    least = summary.ceiling_seconds(row, rates)
    return "" if least is None else f"{least / median(row['figures'][name]):.0%}"


def _target(row: dict, name: str) -> str:
    target = summary.target_of(row, name)
    if target is None:
        return ""
    verdict = {True: ": reached", False: ": missed", None: ""}[summary.reached(row, target)]
    return wanted(target, row["unit"]) + verdict


def wanted(target: dict, unit: str) -> str:
    """A target in words."""
    if target["most"] is not None:
        return f"{target['most']:g} {unit} at most"
    if target["above"] is not None:
        return f"peer + {target['above']:g} {unit} at most"
    aim = "" if target["aim"] is None else f", aim {target['aim']:g}"
    return f"{target['times']:g} x{aim}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _aligned(lines: list[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines)]
    rows = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |"
        for line in lines
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([rows[0], rule, *rows[1:]])


def _ceilings(rates: dict[str, float]) -> str:
    names = {"flops": "matrix product {:,.0f} GFLOP/s", "bytes": "copy {:,.1f} GB/s"}
    parts = [names[key].format(rate / 1e9) for key, rate in rates.items()]
    return f"Ceilings, the best of all libraries: {', '.join(parts)}." if parts else ""


def _notes(rows: list[dict]) -> list[str]:
    return [f"{row['name']}: {'; '.join(row['notes'])}." for row in rows if row["notes"]]


def _skipped(rows: list[dict]) -> list[str]:
    """A line for each contender and reason."""
    where = defaultdict(list)
    for row in rows:
        for name, reason in row["skipped"].items():
            where[name, reason].append(row["name"])
    return [
        f"Skipped: {name}: {reason} ({names[0] if len(names) == 1 else f'{len(names)} workloads'})."
        for (name, reason), names in where.items()
    ]

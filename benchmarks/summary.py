"""The arithmetic of a page of figures: ratios, ceilings, and targets reached or missed.

A page is what a run makes and JSON holds; its rows are those of `benchmarks.measure`.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

OURS = ("minidl", "minidl compiled")
_UNITS = {"ms": 1e-3, "s": 1.0, "µs": 1e-6, "MB": 1e6}


def ratios(row: dict, name: str, peer: str) -> list[float]:
    """How many times the peer's speed (or how much less of its memory), round by round."""
    figures = row["figures"]
    return [theirs / own for own, theirs in zip(figures.get(name, ()), figures.get(peer, ()))]


def in_unit(row: dict, value: float) -> float:
    """A figure, seconds or bytes for one call, as the table has it."""
    if row["unit"] == "pictures/s":
        return row["count"] / value
    return value / row["count"] / _UNITS[row["unit"]]


def figure(row: dict, name: str) -> float | None:
    """A contender's figure in the row's unit, the median of the rounds."""
    values = row["figures"].get(name)
    return in_unit(row, median(values)) if values else None


def measured(row: dict) -> list[str]:
    """Which of our contenders the row has figures of."""
    return [name for name in OURS if name in row["figures"]]


def ceilings(rows: list[dict]) -> dict[str, float]:
    """The best that any contender reached in any round: ``flops`` and ``bytes`` a second."""
    best = {}
    for key in ("flops", "bytes"):
        rates = [
            row[key] / min(values)
            for row in rows
            if row["family"] == "ceilings" and row[key]
            for values in row["figures"].values()
        ]
        if rates:
            best[key] = max(rates)
    return best


def ceiling_seconds(row: dict, ceilings: dict[str, float]) -> float | None:
    """The least time that the row's work could take; None where no ceiling is known."""
    times = [row[key] / rate for key, rate in ceilings.items() if row[key]]
    return max(times) if times else None


def target_of(row: dict, name: str) -> dict | None:
    """What this contender should reach."""
    return next((target for target in row["targets"] if target["contender"] == name), None)


def reached(row: dict, target: dict) -> bool | None:
    """Whether a target is reached; None if its figures are missing."""
    name, peer = target["contender"], row["peer"]
    own, theirs = figure(row, name), figure(row, peer)
    if target["most"] is not None and own is not None:
        return own <= target["most"]
    if own is None or theirs is None:
        return None
    if target["above"] is not None:
        return own <= theirs + target["above"]
    return median(ratios(row, name, peer)) >= target["times"]


def disagreements(rows: list[dict]) -> Iterator[str]:
    """A line for each check that failed."""
    for row in rows:
        for check in row["checks"]:
            if not check["agrees"]:
                what = f"losses of {check['steps']} steps" if check["steps"] else "result"
                far = check["distance"]
                times = "not finite" if far is None else f"{far:.3g} times the allowed distance"
                yield f"{row['name']}: {check['contender']}'s {what} disagree ({times})"


def failures(rows: list[dict]) -> Iterator[tuple[str, str]]:
    """Each contender that failed, with a line that says at what and how."""
    for row in rows:
        for name, reason in row["failed"].items():
            yield name, f"{row['name']}: {name} failed: {reason}"

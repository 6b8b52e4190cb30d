"""Measuring one workload: every contender's round, in turn, several times.

So a machine that becomes slower or faster meanwhile does so for all, and the ratio of a round
is of two measurements that lie next to each other in time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.checks import compare_losses, compare_results
from benchmarks.contenders.unavailable import Unavailable
from benchmarks.worker import Failed, Workers
from benchmarks.workload import Workload

ROOT = Path(__file__).parent.parent
_SETTLE = 0.05  # seconds for the last contender's threads to go to sleep
_CACHES = ("NUMBA_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", "JAX_COMPILATION_CACHE_DIR")


@dataclass(frozen=True)
class Effort:
    """How many rounds, and how many seconds of each contender's work in each."""

    rounds: int = 5
    seconds: float = 0.15


def measure(workload: Workload, workers: Workers, effort: Effort) -> dict:
    """The row of a workload, for the table and for JSON.

    ``figures`` holds seconds or bytes for one call of each contender, one number a round;
    ``skipped`` and ``failed`` the reasons of those that have none; ``checks`` are those of
    `benchmarks.checks`, ``notes`` what processes say beside their figure.
    """
    row = {key: value for key, value in asdict(workload).items() if key in _KEPT}
    row |= {"figures": {}, "skipped": {}, "failed": {}, "checks": [], "notes": []}
    rounds = min(effort.rounds, workload.rounds or effort.rounds)
    if workload.alone:
        _take_turns(row, workload.contenders, rounds, lambda name: _alone(row, workload, name))
        return row
    try:
        first = _prepare(row, workload, workers, effort)
        _take_turns(
            row, tuple(first), rounds, lambda name: workers.ask(name, "round", effort.seconds)
        )
        row["checks"] = _checks(row, workload, workers, first)
    finally:
        workers.clear()
    return row


_KEPT = {"name", "family", "peer", "unit", "count", "flops", "bytes", "targets"}


def _take_turns(
    row: dict, names: tuple[str, ...], rounds: int, figure: Callable[[str], float]
) -> None:
    for _ in range(rounds):
        for name in names:
            if name in row["skipped"] or name in row["failed"]:
                continue
            time.sleep(_SETTLE)
            number = _attempt(row, name, lambda name=name: figure(name))
            if number is not None:
                row["figures"].setdefault(name, []).append(number)
    for name in row["failed"]:
        row["figures"].pop(name, None)


def _alone(row: dict, workload: Workload, name: str) -> float:
    """The figure of a process that does nothing else."""
    with tempfile.TemporaryDirectory() as empty:
        environment = os.environ | (dict.fromkeys(_CACHES, empty) if workload.cold else {})
        command = [sys.executable, "-m", "benchmarks.alone", workload.kind, name]
        done = subprocess.run(
            [*command, json.dumps(workload.options)],
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
    if done.returncode:
        raise Failed((done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1])
    answer = json.loads(done.stdout.splitlines()[-1])
    if "unavailable" in answer:
        raise Unavailable(answer["unavailable"])
    if answer["note"]:
        row["notes"].append(f"{name}: {answer['note']}")
    return answer["figure"]


def _attempt(row: dict, name: str, task: Callable) -> object:
    """What the task returns; None, and its reason in the row, where the contender cannot."""
    try:
        return task()
    except Unavailable as reason:
        row["skipped"][name] = str(reason)
    except Failed as error:
        row["failed"][name] = str(error)
    return None


def _prepare(row: dict, workload: Workload, workers: Workers, effort: Effort) -> dict[str, list]:
    """Make every contender's work and warm it up; the digests of the first results."""
    calls = workload.steps or int(workload.compared)
    order = workload.kind, workload.options, calls, effort.seconds / 2
    found = {}
    for name in workload.contenders:
        digests = _attempt(row, name, lambda name=name: workers.ask(name, "prepare", *order))
        if digests is not None:
            found[name] = digests
    return found


def _checks(row: dict, workload: Workload, workers: Workers, first: dict[str, list]) -> list[dict]:
    if workload.peer not in first:
        return []
    if workload.compared:
        return compare_results({name: d[0] for name, d in first.items()}, workload.peer)
    if not workload.steps:
        return []
    options = workload.options | {"nudged": True}
    nudged = workers.ask(workload.peer, "prepare", workload.kind, options, workload.steps, 0.0)
    return compare_losses(first, workload.peer, nudged)

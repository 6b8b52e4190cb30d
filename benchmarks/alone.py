"""One figure that only a process of its own can give.

    python -m benchmarks.alone KIND CONTENDER [OPTIONS as JSON]

prints ``{"figure": NUMBER}``, in seconds or bytes, or ``{"unavailable": REASON}``, as JSON;
with ``"note": TEXT`` where there is more to say.

A process imports a library once, and compiles or loads its code once. Memory is the most
that training steps take at one time beyond the network and its pictures: such steps have run
before, so code and the libraries' own memory are there already, and the system's mark of the
process's largest size is set back just before.
"""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import article
from benchmarks.contenders import LIBRARIES
from benchmarks.contenders.unavailable import Unavailable

_PACKAGES = {
    "minidl": "minidl",
    "minidl compiled": "minidl",
    "PyTorch": "torch",
    "JAX": "jax.numpy",
}
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def importing(name: str) -> float:
    """Seconds that ``import`` takes."""
    start = time.perf_counter()
    importlib.import_module(_PACKAGES[name])
    return time.perf_counter() - start


def first_steps(name: str, network: str, batch: int, steps: int) -> float:
    """Seconds to the end of the first training steps, once everything is imported."""
    contender = _contender(name)
    start = time.perf_counter()
    work = contender.training_step(network, batch)
    for _ in range(steps):
        work()
    return time.perf_counter() - start


def peak_memory(name: str, network: str, batch: int) -> float:
    """Bytes that training steps take at most, the network and its pictures not included."""
    if not _CLEAR.exists():
        raise Unavailable("the peak of memory is measured on Linux only")
    contender = _contender(name)

    _train(contender.training_step(network, batch))
    gc.collect()
    work = contender.training_step(network, batch)
    _give_back()
    _CLEAR.write_text("5")  # the peak starts anew
    before = _kilobytes("VmRSS")
    _train(work)
    return 1024.0 * (_kilobytes("VmHWM") - before)


def program(name: str, data: str) -> tuple[float, str]:
    """Seconds from start to end of the article's whole program, and what it learned."""
    if importlib.util.find_spec(_PACKAGES[name]) is None:
        raise Unavailable("not installed")
    seconds, accuracy = article.run(article.PROGRAMS[name], Path(data))
    return seconds, f"{accuracy:g} % right"


def _train(work: Callable) -> None:
    for _ in range(4):
        work()


def _contender(name: str) -> object:
    module = importlib.import_module(f"benchmarks.contenders.{LIBRARIES[name]}")
    return module.CONTENDERS[name]


def _kilobytes(key: str) -> int:
    return int(re.search(rf"{key}:\s+(\d+) kB", _STATUS.read_text())[1])


def _give_back() -> None:
    """Let the C library return to the system what is free."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


KINDS: dict[str, Callable[..., float | tuple[float, str]]] = {
    "importing": importing,
    "first_steps": first_steps,
    "peak_memory": peak_memory,
    "program": program,
}


def main() -> None:
    """Measure what the command line says."""
    kind, name, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    try:
        found = KINDS[kind](name, **options)
        figure, note = found if isinstance(found, tuple) else (found, "")
        answer = {"figure": figure, "note": note}
    except ImportError as error:
        answer = {"unavailable": f"not installed ({error})"}
    except Unavailable as reason:
        answer = {"unavailable": str(reason)}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()

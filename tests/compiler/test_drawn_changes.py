"""Outside state that changes between calls: a compiled step follows, or refuses.

Programs are drawn (`drawn`) that keep a value somewhere, read it in a step by some code, and
change it between two calls, or in the step itself. Each is imported twice: an eager and a
compiled copy make the same calls, and agree bit for bit in every one, errors included, until
the compiled one raises a `CaptureError`, if it does.

    python tests/compiler/test_drawn_changes.py --cases 10000 --seed 0

runs many of them, and prints a table and every program that went wrong.
"""

import argparse
import functools
import sys
import tempfile
import time
from pathlib import Path

import pytest
from drawn.draws import Draws, simplest
from drawn.program import draw
from drawn.twins import Frozen, Tally, run
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import minidl

TALLY = Tally()
"""How the cases of this run went."""

_EXAMPLES = min(15 * settings.default.max_examples, 4000)  # a case takes some milliseconds


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("drawn")


@pytest.fixture(scope="module")
def frozen():
    with Frozen() as frozen:
        yield frozen
    print(TALLY.summary())


@settings(
    max_examples=_EXAMPLES,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # `simplest` is what shrinks
)
@given(seed=st.integers(0, 2**64))
def test_a_change_is_followed_or_refused(folder, frozen, seed):
    draws = Draws(seed)
    program = draw(draws)
    outcome = run(program, folder)
    TALLY.add(program, outcome)
    frozen.another()
    assert outcome.name != "invalid", f"{program.text}\n{outcome.text}"
    assert outcome.name != "wrong", _reduced(draws, folder)


def _reduced(draws, folder):
    """The text of the simplest program that goes wrong, and of what is wrong with it."""
    program = draw(simplest(draws, lambda other: run(draw(other), folder).name == "wrong"))
    return f"{program.labels}\n{program.text}\n{run(program, folder).text}"


def test_some_steps_are_replayed():
    if TALLY.total() < 100 or sys.gettrace() is not None:
        pytest.skip("too few cases were drawn, or another tracer sees what is replayed")
    assert TALLY.share("equal, replayed") > 0.1
    assert TALLY.share("refused") < 0.9


# --------------------------------------------------------------------------- the drawing itself


def _first_result(step):
    """A compile that goes wrong: what the first call returned is returned by all."""
    results = []

    @functools.wraps(step, updated=())
    def first(*args, **options):
        if not results:
            results.append(step(*args, **options))
        return results[0]

    return first


_COMPILES = {
    "minidl": minidl.compile,
    "eager": lambda step: step,
    "first": _first_result,
}


def _names(folder, compile, changes=True):
    """The outcomes of some cases."""
    return [run(draw(Draws(seed)), folder, compile, changes).name for seed in range(40)]


def test_two_eager_copies_agree(folder, frozen):
    assert set(_names(folder, _COMPILES["eager"])) == {"equal"}


def test_a_broken_compile_is_noticed(folder, frozen):
    assert _names(folder, _COMPILES["first"]).count("wrong") >= 38


def test_most_changes_matter(folder, frozen):
    assert _names(folder, _COMPILES["eager"], changes=False).count("wrong") >= 20


# --------------------------------------------------------------------------- without pytest


def main(arguments=None):
    """Run drawn cases and print how they went; the number of wrong ones."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", type=int, default=1000, help="how many programs are drawn")
    parser.add_argument("--seed", type=int, default=0, help="what they are drawn with")
    parser.add_argument("--first", type=int, default=0, help="the number of the first of them")
    parser.add_argument("--compile", choices=_COMPILES, default="minidl", help="what is tested")
    parser.add_argument("--unchanged", action="store_true", help="nothing changes in the second")
    parser.add_argument("--about", default="", help="only programs with this word in a label")
    parser.add_argument("--quiet", action="store_true", help="print no programs")
    parser.add_argument("--reduce", action="store_true", help="make wrong programs simpler")
    parser.add_argument("--show", action="store_true", help="print every program")
    options = parser.parse_args(arguments)
    begin, tally = time.process_time(), Tally()
    with tempfile.TemporaryDirectory() as folder, Frozen() as frozen:
        for number in range(options.first, options.first + options.cases):
            draws = Draws(f"{options.seed}.{number}")
            program = draw(draws)
            if options.about not in "; ".join(program.labels.values()):
                continue
            outcome = run(program, Path(folder), _COMPILES[options.compile], not options.unchanged)
            tally.add(program, outcome)
            frozen.another()
            if options.show or (outcome.name in ("wrong", "invalid") and not options.quiet):
                print(f"# {number}: {program.labels}\n{program.text}\n{outcome.text}\n{'-' * 80}")
            if options.reduce and outcome.name == "wrong":
                print(f"# {number}, reduced: {_reduced(draws, Path(folder))}\n{'-' * 80}")
    print(tally.summary())
    seconds = time.process_time() - begin
    print(f"{tally.total()} cases, {seconds / max(1, tally.total()) * 1e3:.1f} ms of a CPU each")
    return tally.counts["all", "cases", "wrong"]


if __name__ == "__main__":
    sys.exit(main() > 0)

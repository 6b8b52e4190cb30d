"""Drawing a program: a step, what it reads, who reads it, and what changes it when.

The text defines ``make()``, which returns an object with ``step``, the function to compile;
``shapes`` of its argument by call; ``change(i)``, what happens before call ``i``; ``args(i)``,
further arguments; ``state()``, all that has to agree afterwards; ``around()``, a context manager
around a call; and ``close()``.
"""

from dataclasses import dataclass

from drawn.containers import CONTAINERS, Container
from drawn.definitions import preamble
from drawn.draws import Draws
from drawn.effects import EFFECTS, MOVING, Effect
from drawn.kinds import CONVERTED, KINDS, Kind
from drawn.readers import READERS, Reader
from drawn.scopes import SCOPES, Scope
from drawn.text import fill, indented

CALLS = 9
"""How often a step is called."""


@dataclass(frozen=True)
class Program:
    """The files of a program, "program.py" among them, and what it is about."""

    files: dict[str, str]
    labels: dict[str, str]

    @property
    def text(self) -> str:
        """All files, one after the other."""
        return "\n".join(f"# {name}\n{text}" for name, text in self.files.items())


def draw(draws: Draws) -> Program:
    """A program; ``draws`` decides on everything in it."""
    if draws.chance(0.35):
        return _of_effect(draws, draws.choice(EFFECTS))
    return _of_parts(draws)


# --------------------------------------------------------------------------- the frame

_FRAME = """
$PREAMBLE

VALUES = [$VALUES]
SCHEDULE = $SCHEDULE
SHAPES = $SHAPES


$TOP


$BODY
"""
_BODY = """
weight = nn.Parameter(minidl.tensor([0.5, -1.0, 2.0]))
$OPTIMIZER
$LOCAL


$DEFINE


$STEP
$FINISH


def change(i):
    $DECLARE
    k = SCHEDULE[i]
    if k != SCHEDULE[i - 1]:
        $CHANGE


def args(i):
    $ARGS


def around():
    return $AROUND


def state():
    return [weight, weight.grad, optimizer.param_groups, dict(optimizer.state), *$STATE]


def close():
    $CLOSE
    return None
"""
_MADE = """
return types.SimpleNamespace(
    step=target,
    shapes=SHAPES,
    change=change,
    args=args,
    around=around,
    state=state,
    close=close,
)
"""
_FORMS = {
    "function": "def step(x$MORE):\n    $STEPS\n\n\ntarget = step",
    "method": "class Case:\n    def step(self, x$MORE):\n        $STEPS\n\n\n"
    "case = Case()\ntarget = case.step",
    "forward": "class Case(nn.Module):\n    def forward(self, x$MORE):\n        $STEPS\n\n\n"
    "case = Case()\ntarget = case",
    "call": "class Case:\n    def __call__(self, x$MORE):\n        $STEPS\n\n\n"
    "case = Case()\ntarget = case",
    "partial": "def step(x$MORE):\n    $STEPS\n\n\ntarget = functools.partial(step)",
    "wrapped": "def logged(function):\n    @functools.wraps(function)\n"
    "    def wrapper(*args, **options):\n        return function(*args, **options)\n\n"
    "    return wrapper\n\n\n@logged\ndef step(x$MORE):\n    $STEPS\n\n\ntarget = step",
    "default": "def step(x, root=$BUILD):\n    $STEPS\n\n\ntarget = step",
    "keyword default": "def step(x, *, root=$BUILD):\n    $STEPS\n\n\ntarget = step",
    "partial with a value": "def step(x, root):\n    $STEPS\n\n\n"
    "target = functools.partial(step, root=$BUILD)",
}
_FREE = ("function", "method", "forward", "call", "partial", "wrapped")
_OF_CTX = {
    "": _FREE,
    "method": ("method", "forward", "call"),
    "argument": _FREE,
    "default": ("default",),
    "keyword default": ("keyword default",),
    "partial": ("partial with a value",),
}
_NAME_OF_CTX = {"": "None", "method": "self", "argument": "argument"}
_OPTIMIZERS = (
    "optimizer = minidl.optim.SGD([weight], lr=0.1)",
    "optimizer = minidl.optim.SGD([weight], lr=0.1, momentum=0.5)",
    "optimizer = minidl.optim.Adam([weight], lr=0.1)",
)
_TRAINED = """
optimizer.zero_grad()
$COMPUTE
loss = (y * weight).sum()
loss.backward()
optimizer.step()
$AFTER
return $RESULT
"""
_NOT_TRAINED = """
$COMPUTE
$AFTER
return $RESULT
"""
_RESULTS = ("loss, y.detach()", "loss", "{'loss': loss, 'parts': [y.detach(), x]}")
_RESULTS_UNTRAINED = ("y.detach()", "y.detach(), x", "[{'y': y.detach()}]")


def _steps(draws: Draws, compute: str, after: str, train: bool, declare: str, value: str) -> str:
    """The lines of the step."""
    result = draws.choice(_RESULTS if train else _RESULTS_UNTRAINED)
    if value:
        result = f"{{'value': {value}, 'rest': [{result}]}}"
    frame = _TRAINED if train else _NOT_TRAINED
    lines = fill(frame, COMPUTE=compute, AFTER=after, RESULT=result).strip("\n")
    return f"{declare}\n{lines}" if declare else lines


def _schedule(draws: Draws, most: int) -> tuple[list[int], str]:
    """Which value is wanted before each call, and when that changes, in words."""
    first = draws.choice((3, 4, 2, 6, 1))  # after calls 2, 3, 1, 5 and 0
    pattern = draws.choice(("once", "once", "back", "every call", "back", "never"))
    later = [0] * (CALLS - first)
    if pattern == "once":
        later = [1] * len(later)
    elif pattern == "back":
        stays = draws.choice((1, 2, 3))
        later = [1] * stays + [0] * len(later)
    elif pattern == "every call":
        later = [(1 + i) % (most + 1) for i in range(len(later))]
    when = "never" if pattern == "never" else f"{pattern}, after call {first - 1}"
    return ([0] * first + later)[:CALLS], when


def _shapes(draws: Draws) -> list[tuple[int, ...]]:
    """The shape of ``x`` in each call: now and then another for some calls."""
    shapes: list[tuple[int, ...]] = [(3,)] * CALLS
    if draws.chance(0.1):
        first, length = draws.choice((3, 2, 4)), draws.choice((2, 3, 1))
        shapes[first : first + length] = [(1, 3)] * length
    return shapes


def _assembled(
    draws: Draws,
    parts: dict[str, str],
    nested: bool,
    files: dict[str, str],
    labels: dict[str, str],
) -> Program:
    """The program of its parts."""
    shapes = _shapes(draws)
    labels = {**labels, "inputs": "of one shape" if len(set(shapes)) == 1 else "of two shapes"}
    parts = {**parts, "SHAPES": repr(shapes)}
    body = fill(_BODY, **parts).strip("\n")
    made = _MADE.strip("\n")
    if nested:
        body = f"def make():\n{indented(body)}\n{indented(made)}\n"
    else:
        body = f"{body}\n\n\ndef make():\n{indented(made)}\n"
    parts = {**parts, "BODY": body}
    needed = preamble(*(parts[name] for name in ("VALUES", "TOP", "BODY")))
    text = fill(_FRAME, **{**parts, "PREAMBLE": needed}).strip("\n") + "\n"
    labels = {**labels, "written": "in a function" if nested else "in a module"}
    return Program({"program.py": text, **files}, labels)


# --------------------------------------------------------------------------- programs of parts


def _of_parts(draws: Draws) -> Program:
    """A value of some kind, in containers, somewhere, read by something, and changed."""
    scope, reader, kind, path = _fitting(draws)
    train = reader.trains or draws.chance(0.7)
    nested = scope.nested or draws.chance(0.5)
    values = _drawn_values(draws, kind)
    schedule, when = _schedule(draws, len(values) - 1)
    build = _built(path, "VALUES[0]()")

    own = _NAME_OF_CTX.get(scope.ctx, "root")  # what the step calls it
    define, inline, made = _read_by(draws, scope, reader, kind, path, values, own)
    itself = not scope.shared and kind.advance and draws.chance(0.12)
    stateful = any(container.stateful for container in path)
    after, declare_in_step, category = "", "", ""
    if itself:
        after, declare_in_step = _step_changes(draws, scope, path, kind)
        category, change = "by the step", "pass"
        if draws.chance(0.3):
            change, _ = _change(draws, scope, path, kind)
    else:
        change, category = _change(draws, scope, path, kind)
    if stateful and draws.chance(0.7):
        change, category = "pass", "by reading"
    if change == "pass" or ((stateful or itself) and when == "never"):
        when = "by the step"
    form = draws.choice(_OF_CTX[scope.ctx])
    in_step = any(line.startswith("v = ") for line in inline.split("\n"))
    plain = "plain" in kind.traits and not made and reader.place == "step"
    returned = "v" if plain and in_step and draws.chance(0.2) else ""
    steps = _steps(draws, inline, after, train, declare_in_step, returned)
    more = ", argument" if scope.ctx == "argument" else ""
    static = scope.static or "None"
    peek = _peek(scope, path)
    parts = {
        "VALUES": ", ".join(f"lambda: {value}" for value in values),
        "SCHEDULE": repr(schedule),
        "TOP": fill(scope.top.strip("\n"), build=build),
        "OPTIMIZER": draws.choice(_OPTIMIZERS),
        "LOCAL": fill(scope.local.strip("\n"), build=build),
        "DEFINE": define,
        "STEP": fill(_FORMS[form], MORE=more, STEPS=steps, BUILD=build),
        "FINISH": fill(scope.after, build=build),
        "DECLARE": scope.declare,
        "CHANGE": change.replace("CTX", static),
        "ARGS": scope.args or "return (), {}",
        "AROUND": "contextlib.nullcontext()",
        "STATE": f"[{peek}]" if itself and "json" in kind.traits else "()",
        "CLOSE": scope.close,
    }
    labels = {
        "scope": scope.name,
        "reader": reader.kind,
        "by": reader.name,
        "kind": kind.name,
        "path": " > ".join(container.name for container in path) or "none",
        "container": path[-1].name if path else "none",
        "change": category,
        "when": when,
        "form": form,
    }
    return _assembled(draws, parts, nested, scope.files, labels)


def _read_by(
    draws: Draws,
    scope: Scope,
    reader: Reader,
    kind: Kind,
    path: list[Container],
    values: list[str],
    own: str,
) -> tuple[str, str, str]:
    """The reader's lines before the step, those in it, and what was made of the value."""
    seen = {"step": own, "called": reader.ctx, "static": scope.static or "None"}[reader.place]
    lines, expression, made = _reading(draws, scope, path, kind, reader, seen)
    uses = CONVERTED[reader.converts or made] if reader.converts or made else kind.uses
    use = draws.choice(uses)
    define, inline = reader.define.strip("\n"), reader.inline
    instance = f"Reader({own})"
    if "$READER" in inline and not scope.ctx and draws.chance(0.5):
        instance, define = "reader", f"{define}\n\n\nreader = Reader(None)"
    if not reader.applies:
        inline += "\n$USE"
    parts = {"READ": lines, "EXPR": expression, "USE": use, "CTX": own, "READER": instance}
    numbered = {str(i): value for i, value in enumerate(values)}
    define, inline = (fill(fill(text, **parts), **numbered) for text in (define, inline))
    return define, inline, made


def _fitting(draws: Draws) -> tuple[Scope, Reader, Kind, list[Container]]:
    """A combination that makes sense."""
    scope = draws.choice(SCOPES)
    depth = 0 if scope.holds else draws.choice((1, 0, 1, 2, 3))
    path: list[Container] = []
    while len(path) < depth:
        container = draws.choice(CONTAINERS)
        leaf = len(path) == depth - 1
        ignores = "$i" not in container.build or "VALUES" in container.build
        if leaf or not (container.holds or ignores or "array" in container.name):
            path.append(container)
    if scope.shared:
        path = [container for container in path if not container.stateful]
    holders = [*path[-1:], *([] if path else [scope])]
    kinds = [kind for kind in KINDS if all(_holds(holder, kind) for holder in holders)]
    kind = draws.choice(kinds)
    readers = [reader for reader in READERS if _reads(reader, scope, kind)]
    return scope, draws.choice(readers), kind, path


def _holds(holder: Container | Scope, kind: Kind) -> bool:
    traits = set(kind.traits.split())
    words = traits | set(kind.name.split())
    if holder.holds == "environment":
        return kind.name in ("int", "float", "zero", "nan", "str")
    return (not holder.holds or holder.holds in traits) and not words & set(holder.excludes.split())


def _reads(reader: Reader, scope: Scope, kind: Kind) -> bool:
    if reader.place == "static" and scope.ctx and not scope.static:
        return False
    needed = {"": "", "bool": "plain", "text": "plain", "number": "number"}[reader.converts]
    return not needed or needed in kind.traits.split()


def _drawn_values(draws: Draws, kind: Kind) -> list[str]:
    values = list(kind.values)
    first = values.pop(0)
    chosen = [first]
    while values and len(chosen) < 3:
        chosen.append(values.pop(draws.choice(range(len(values)))))
    while len(chosen) < 3:  # mutations pick one of three
        chosen.append(chosen[len(chosen) - 2])
    return chosen


def _built(path: list[Container], value: str) -> str:
    """The expression of the containers with ``value`` in the innermost."""
    for container in reversed(path):
        value = fill(container.build, i=value)
    return value


def _peek(scope: Scope, path: list[Container]) -> str:
    """The expression that reads where a program is changed."""
    expression = (scope.peek or scope.exprs[0]).replace("CTX", scope.static or "None")
    for container in path:
        expression = fill(container.reads[0], c=expression)
    return expression


def _reading(
    draws: Draws, scope: Scope, path: list[Container], kind: Kind, reader: Reader, seen: str
) -> tuple[str, str, str]:
    """Lines that assign ``v``, an expression for it, and what has been made of the value."""
    lines: list[str] = []
    expression = draws.choice(scope.exprs)
    if scope.lines and not reader.expression and draws.chance(0.5):
        lines.append(fill(draws.choice(scope.lines), t="root_"))
        expression = "root_"
    expression = expression.replace("CTX", seen)
    made = ""
    for i, container in enumerate(path):
        last = i == len(path) - 1
        reads = container.reads
        if last and container.sums and "number" in kind.traits and draws.chance(0.25):
            reads, made = container.sums, "" if reader.converts else "number"
        if reader.expression:
            reads = tuple(read for read in reads if "$t" not in read)
        read = draws.choice(reads)
        if not reader.expression and draws.chance(0.3):
            lines.append(f"held_{i} = {expression}")
            expression = f"held_{i}"
        if "$t" in read:
            lines.append(fill(read, c=expression, t=f"read_{i}"))
            expression = f"read_{i}"
        else:
            expression = fill(read, c=expression)
    lines.append(f"v = {expression}")
    text = "\n".join(lines)
    if not reader.expression and draws.chance(0.1):
        missing = "(LookupError, AttributeError, NameError)"
        text = f"try:\n{indented(text)}\nexcept {missing}:\n    v = $1"
    return text, expression, made


def _change(draws: Draws, scope: Scope, path: list[Container], kind: Kind) -> tuple[str, str]:
    """A change from outside, and what it is called."""
    kinds = ["container", "root", "mutation", "delete", "move", "container", "mutation"]
    category = draws.choice(kinds)
    if category == "mutation" and kind.mutations:
        return fill(draws.choice(kind.mutations), v=_peek(scope, path)), "mutation"
    at = draws.choice(range(len(path))) if path else 0
    settable = [i for i, container in enumerate(path) if container.sets]
    if category == "move" and path and path[at].moves:
        return fill(draws.choice(path[at].moves), c=_peek(scope, path[:at])), "move"
    new = "VALUES[k]()"
    if category == "delete":
        back = fill(scope.writes[0], new=_built(path, new))
        if path and path[at].deletes:
            gone = fill(draws.choice(path[at].deletes), c=_peek(scope, path[:at]))
            return _either(gone, back), "delete"
        if scope.deletes:
            return _either(draws.choice(scope.deletes), back), "delete"
    if category == "root" or not settable:
        return fill(draws.choice(scope.writes), new=_built(path, new)), "rebinding"
    at = draws.choice(settable[::-1])
    return _set(draws, scope, path, at, new), "in place"


def _set(draws: Draws, scope: Scope, path: list[Container], at: int, new: str) -> str:
    place = _peek(scope, path[:at])
    return fill(draws.choice(path[at].sets), c=place, new=_built(path[at + 1 :], new))


def _either(gone: str, back: str) -> str:
    return f"if k:\n{indented(gone)}\nelse:\n{indented(back)}"


def _step_changes(draws: Draws, scope: Scope, path: list[Container], kind: Kind) -> tuple[str, str]:
    """A change that the step makes, and the statement that declares what it assigns to."""
    peek = _peek(scope, path)
    new = fill(kind.advance, v=peek)
    settable = [i for i, container in enumerate(path) if container.sets]
    declare = scope.declare
    if settable and draws.chance(0.8):
        text = _set(draws, scope, path, draws.choice(settable[::-1]), new)
    else:
        text = fill(draws.choice(scope.writes), new=_built(path, new))
    if draws.chance(0.2) and "number" in kind.traits:
        text = f"if {peek} < 4:\n{indented(text)}"
    return text, declare


# --------------------------------------------------------------------------- programs of one thing


def _of_effect(draws: Draws, effect: Effect) -> Program:
    """The program of an `Effect`."""
    train = draws.chance(0.6) if effect.train is None else effect.train
    nested = draws.chance(0.5)
    schedule, when = _schedule(draws, 2)
    form = draws.choice(_FREE)
    compute = effect.step
    place = draws.choice(("step", "helper", "nested", "forward"))
    define = ""
    simple = "COUNT" not in compute and not effect.takes and "from ." not in compute
    if simple and place == "helper":
        define = f"def helper_(x):\n{indented(compute)}\n    return y"
        compute = "y = helper_(x)"
    elif simple and place == "nested":
        compute = f"def inner():\n{indented(compute)}\n    return y\n\ny = inner()"
    elif simple and place == "forward":
        define = (
            f"class Applied(nn.Module):\n    def forward(self, x):\n{indented(compute, 8)}\n"
            "        return y\n\n\napplied = Applied()"
        )
        compute = "y = applied(x)"
    else:
        place = "step"
    declare = effect.declare
    if declare and not declare.startswith("global"):
        declare = f"{'nonlocal' if nested else 'global'} {declare}"
    parts = {
        "VALUES": "",
        "SCHEDULE": repr(schedule),
        "TOP": effect.top.strip("\n"),
        "OPTIMIZER": draws.choice(_OPTIMIZERS),
        "LOCAL": effect.local.strip("\n"),
        "DEFINE": define,
        "STEP": fill(
            _FORMS[form],
            MORE=f", {effect.takes}" if effect.takes else "",
            STEPS=_steps(draws, compute, effect.after, train, "", ""),
        ),
        "FINISH": "",
        "DECLARE": declare,
        "CHANGE": draws.choice(effect.changes),
        "ARGS": effect.args or "return (), {}",
        "AROUND": effect.around or "contextlib.nullcontext()",
        "STATE": effect.state or "()",
        "CLOSE": effect.close,
    }
    labels = {
        "scope": effect.scope,
        "reader": {"helper": "helper function", "nested": "nested function"}.get(place, place),
        "by": effect.name,
        "kind": "effect",
        "path": "none",
        "container": "none",
        "change": "effect",
        "when": "by the step" if when == "never" and effect.name in MOVING else when,
        "form": form,
    }
    return _assembled(draws, parts, nested, effect.files, labels)

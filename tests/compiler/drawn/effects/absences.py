"""What is not there when a step looks for it, and appears later."""

from drawn.effects.effect import Effect

_ABSENT = "try:\n    y = x * MISSING\nexcept NameError:\n    y = x * 2.0"


def _absence(name, step, changes, **options):
    return Effect(name, "absence", step, tuple(changes), **options)


ABSENCES = (
    _absence(
        "global that is not there",
        _ABSENT,
        ["MISSING = 3.0 + k", "globals()['MISSING'] = 3.0 + k", "builtins.MISSING = 3.0 + k"],
        declare="global MISSING",
        close="vars(builtins).pop('MISSING', None)",
    ),
    _absence(
        "name that is looked for",
        "y = x * globals().get('MISSING', 2.0)",
        ["globals()['MISSING'] = 3.0 + k"],
    ),
    _absence(
        "name that is counted",
        "y = x * (2.0 if 'MISSING' in globals() else 3.0) * (1 + len(vars(SPACE)))",
        ["globals()['MISSING'] = k", "SPACE.more = k"],
        top="SPACE = types.SimpleNamespace()",
    ),
    _absence(
        "key that is not there",
        "try:\n    y = x * TABLE['b']\nexcept KeyError:\n    y = x * TABLE['a']",
        ["TABLE['b'] = 3.0 + k", "TABLE.update(b=3.0 + k)", "TABLE = {'a': 1.0, 'b': 3.0 + k}"],
        top="TABLE = {'a': 1.5}",
        declare="global TABLE",
    ),
    _absence(
        "index that is not there",
        "try:\n    y = x * ROW[1]\nexcept IndexError:\n    y = x * ROW[0]",
        ["ROW.append(3.0 + k)", "ROW = (2.0, 3.0 + k)"],
        top="ROW = [1.5]",
        declare="global ROW",
    ),
    _absence(
        "attribute that is not there",
        "y = x * (THING.factor if hasattr(THING, 'factor') else 2.0)\n"
        "y = y + getattr(THING, 'shift', 1.0)",
        [
            "THING.factor = 3.0 + k",
            "Thing.factor = 3.0 + k",
            "Above.factor = 3.0 + k",
            "THING.shift = 3.0 + k",
            "Above.__getattr__ = lambda self, name: 3.0 + k",
            "Thing.shift = property(lambda self: 3.0 + k)",
        ],
        top="class Above:\n    pass\n\n\nclass Thing(Above):\n    pass\n\n\nTHING = Thing()",
    ),
    _absence(
        "attribute that hides that of the class",
        "y = x * THING.factor * THING.scale(2.0)",
        [
            "THING.factor = 3.0 + k",
            "Thing.factor = 3.0 + k",
            "THING.scale = lambda number: 3.0 + k",
            "Thing.scale = lambda self, number: 3.0 + k",
            "vars(THING)['factor'] = 3.0 + k",
        ],
        top="class Above:\n    factor = 1.5\n\n    def scale(self, number):\n"
        "        return number\n\n\nclass Thing(Above):\n    pass\n\n\nTHING = Thing()",
    ),
    _absence(
        "special method that is not there",
        "y = x * (2.0 if THING else 3.0) * (2.0 if THING == 1 else 3.0)"
        " * (2.0 if callable(THING) else 3.0)",
        [
            "Thing.__bool__ = lambda self: False",
            "Thing.__len__ = lambda self: 0",
            "Thing.__eq__ = lambda self, other: True",
            "Thing.__call__ = lambda self: None",
        ],
        top="class Thing:\n    pass\n\n\nTHING = Thing()",
    ),
    _absence(
        "variable of the environment",
        "y = x * (2.0 if __name__ in os.environ else 3.0) * len(os.environ.get(__name__, 'ab'))",
        ["os.environ[__name__] = 'abc' * (1 + k)"],
        close="os.environ.pop(__name__, None)",
    ),
    _absence(
        "module that is not there",
        "try:\n    from .extra import factor\nexcept ImportError:\n    factor = 2.0\n"
        "y = x * factor",
        [
            "sys.modules[__package__ + '.extra'] = types.SimpleNamespace(factor=3.0 + k)",
        ],
        files={"tools.py": ""},
    ),
    _absence(
        "name in a module that is not there",
        "try:\n    from .tools import factor\nexcept ImportError:\n    factor = 2.0\n"
        "y = x * factor",
        ["tools.factor = 3.0 + k", "tools.__getattr__ = lambda name: 3.0 + k"],
        top="from . import tools",
        files={"tools.py": ""},
    ),
    _absence(
        "entry that is not there",
        "y = x * (2.0 if 3 in SEEN else 3.0) * (1 + len(SEEN)) * (2.0 if SEEN else 3.0)",
        ["SEEN.add(3)", "SEEN = {3}", "SEEN.add('k' * k)"],
        top="SEEN = set()",
        declare="global SEEN",
    ),
    _absence(
        "local of the environment that is not there",
        "y = x * getattr(LOCAL, 'factor', 2.0) * VARIABLE.get(2.0)",
        ["LOCAL.factor = 3.0 + k", "VARIABLE.set(3.0 + k)"],
        top="LOCAL = threading.local()\nVARIABLE = contextvars.ContextVar('drawn')",
    ),
)

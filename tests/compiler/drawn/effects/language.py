"""Python itself: builtins, functions, classes, imports, counters, caches, the library."""

from drawn.effects.effect import Effect


def _python(name, scope, step, changes, **options):
    return Effect(name, scope, step, tuple(changes), **options)


LANGUAGE = (
    *(
        _python(
            f"{name} is shadowed",
            "builtin",
            step,
            [
                f"globals()['{name}'] = {other}",
                f"{name} = {other}",
                f"globals().pop('{name}', None) if k == 0 else globals().update({name}={other})",
            ],
            declare=f"global {name}",
        )
        for name, step, other in (
            ("len", "y = x * len([1, 2])", "lambda items: 5 + k"),
            ("max", "y = x * max(1.5, 2.0)", "lambda *numbers: 5.0 + k"),
            ("sum", "y = x * sum([1.5, 2.0])", "lambda numbers: 5.0 + k"),
            ("range", "y = x\nfor i in range(2):\n    y = y + 1 + i", "lambda n: [5 + k]"),
            ("float", "y = x * float('1.5')", "lambda text: 5.0 + k"),
            ("isinstance", "y = x * (2.0 if isinstance(1, int) else 3.0)", "lambda *a: k == 0"),
            ("getattr", "y = getattr(x, 'tanh')()", "lambda t, name: t.exp"),
            ("sorted", "y = x * sorted([2.0, 1.0])[0]", "lambda numbers: [5.0 + k]"),
            ("map", "y = x * [*map(abs, [-2.0])][0]", "lambda f, numbers: [5.0 + k]"),
            ("print", "y = x * (print('', end='') or 2.0)", "lambda *a: 5.0 + k"),
            ("abs", "y = x * abs(-2.0)", "lambda number: 5.0 + k"),
            ("type", "y = x * len(type(1).__name__)", "lambda o: str"),
            (
                "KeyError",
                "try:\n    y = x * {}['a']\nexcept KeyError:\n    y = x * 2.0\n"
                "except LookupError:\n    y = x * 3.0",
                "ValueError",
            ),
        )
    ),
    _python(
        "code of a helper",
        "function",
        "y = helper(x)",
        [
            "helper.__code__ = (other, another, other)[k].__code__",
            "helper.__defaults__ = (2.0 + k,)",
            "helper.__kwdefaults__ = {'more': 2.0 + k}",
            "helper.__kwdefaults__['more'] = 2.0 + k",
            "helper = (helper, other, another)[k]",
            "globals()['helper'] = (helper, other, another)[k]",
            "sys.modules[__name__].helper = (helper, other, another)[k]",
            "helper.__globals__['by'] = 2.0 + k",
        ],
        top="""
by = 1.0


def helper(x, times=1.5, *, more=0.5):
    return x * times * by + more


def other(x, times=1.5, *, more=0.5):
    return x.exp() * times - more


def another(x, times=1.5, *, more=0.5):
    return x.tanh() * times - more
""",
        declare="global helper",
    ),
    _python(
        "code of a lambda in a list",
        "function",
        "y = functools.reduce(lambda t, f: f(t), CHAIN, x)",
        [
            "CHAIN[0] = lambda t: t * (2.0 + k)",
            "CHAIN.append(lambda t: t * (2.0 + k))",
            "CHAIN[0].__code__ = (lambda t: t * 5.0).__code__",
            "CHAIN.reverse()",
            "CHAIN[:] = CHAIN[:1]",
        ],
        top="CHAIN = [lambda t: t * 1.5, lambda t: t.tanh()]",
    ),
    _python(
        "code of the step",
        "function",
        "y = x * 1.625",
        [
            "function = function_of(target)\n"
            "function.__code__ = function.__code__.replace(co_consts=tuple(\n"
            "    2.5 + k if c == 1.625 else c for c in function.__code__.co_consts))"
        ],
    ),
    _python(
        "method of a class",
        "class",
        "y = POLICY.scale(x) + POLICY.shift",
        [
            "Policy.scale = lambda self, x: x * (2.0 + k)",
            "POLICY.scale = lambda x: x * (2.0 + k)",
            "Policy.scale.__code__ = (lambda self, x: x * 5.0).__code__",
            "Policy.scale.__defaults__ = (2.0 + k,)",
            "POLICY.__class__ = Other if k else Policy",
            "Policy.shift = property(lambda self: 2.0 + k)",
            "Policy.shift = 2.0 + k",
            "POLICY.by = 2.0 + k",
            "Base.by = 2.0 + k",
            "Policy.by = 2.0 + k",
            "Policy.__bases__ = (Other,) if k else (Base,)",
            "Base.__getattribute__ = lambda s, n: 3.0 if n == 'by' else object"
            ".__getattribute__(s, n)",
            "POLICY = Other()",
            "del Policy.scale",
        ],
        top="""
class Base:
    by = 1.5

    def scale(self, x):
        return x + 9.0


class Policy(Base):
    def scale(self, x, more=0.5):
        return x * self.by + more

    @property
    def shift(self):
        return self.by / 2


class Other:
    by = 3.5
    shift = 1.0

    def scale(self, x):
        return x / self.by


POLICY = Policy()
""",
        declare="global POLICY",
    ),
    _python(
        "helper module",
        "module",
        "y = tools.apply(x)",
        [
            "tools.factor = 2.0 + k",
            "tools.apply = lambda x: x * (2.0 + k)",
            "tools.inner = lambda x: x * (2.0 + k)",
            "tools.Tool.by = 2.0 + k",
            "tools.Tool.use = lambda self, x: x - k",
            "tools.TABLE['a'] = 2.0 + k",
            "tools.inner.__code__ = (lambda x: x * 5.0).__code__",
            "tools.inner.__defaults__ = (2.0 + k,)",
            "tools.tool.more = 2.0 + k",
            "tools = types.SimpleNamespace(apply=lambda x: x * (2.0 + k))",
            "sys.modules[__package__ + '.tools'].factor = 2.0 + k",
        ],
        top="from . import tools",
        declare="global tools",
        files={
            "tools.py": """
factor = 1.5
TABLE = {"a": 0.5}


def inner(x, times=1.25):
    return x * factor * times


class Tool:
    by = 0.75
    more = 0.25

    def use(self, x):
        return x * self.by + self.more


tool = Tool()


def apply(x):
    return tool.use(inner(x)) + TABLE["a"]
"""
        },
    ),
    _python(
        "subclasses",
        "class",
        "y = x * (1 + len(Base.__subclasses__()))",
        ["MADE.append(type('Below', (Base,), {}))"],
        top="MADE = []\n\n\nclass Base:\n    pass",
    ),
    _python(
        "virtual subclasses",
        "class",
        "y = x * (2.0 if isinstance(1.5, Number) else 3.0) * (2 if issubclass(str, Number) else 1)",
        ["Number.register(float)", "Number.register(str)"],
        top="class Number(abc.ABC):\n    pass",
    ),
    _python(
        "single dispatch",
        "function",
        "y = x * value(1.5)",
        ["value.register(float, lambda number: 5.0 + k)"],
        top="@functools.singledispatch\ndef value(number):\n    return 2.0",
    ),
    _python(
        "annotations and texts",
        "function",
        "y = x * len(helper.__doc__) * len(helper.__annotations__) * len(helper.__name__)",
        [
            "helper.__doc__ = 'x' * (9 + k)",
            "helper.__annotations__['more'] = int",
            "helper.__name__ = 'other' * (1 + k)",
        ],
        top="def helper(x: int):\n    'Text.'",
    ),
    _python(
        "modules that are imported",
        "module",
        "y = x * (2.0 if (__name__ + '.extra') in sys.modules else 3.0)",
        ["sys.modules[__name__ + '.extra'] = types.ModuleType('extra')"],
        close="sys.modules.pop(__name__ + '.extra', None)",
    ),
    _python(
        "module that is replaced",
        "module",
        "from . import tools as here\ny = x * here.factor",
        [
            "sys.modules[__package__ + '.tools'] = sys.modules[__package__].tools = "
            "types.SimpleNamespace(factor=2.0 + k)",
            "sys.modules[__package__].tools = types.SimpleNamespace(factor=2.0 + k)",
            "tools.factor = 2.0 + k",
        ],
        top="from . import tools",
        files={"tools.py": "factor = 1.5"},
    ),
    _python(
        "level of a logger",
        "library",
        "y = x * (2.0 if LOGGER.isEnabledFor(logging.INFO) else 3.0) + LOGGER.level / 10",
        ["LOGGER.setLevel((logging.INFO, logging.ERROR, logging.DEBUG)[k])"],
        top="LOGGER = logging.getLogger(__name__)\nLOGGER.setLevel(logging.INFO)",
    ),
    _python(
        "decimals",
        "library",
        "y = x * float(decimal.Decimal(1) / 3)",
        ["PRECISION[0] = (5, 3, 2)[k]"],
        top="PRECISION = [5]",
        around="decimal.localcontext(prec=PRECISION[0])",
    ),
    _python(
        "name of the thread",
        "library",
        "y = x * len(threading.current_thread().name)",
        ["threading.current_thread().name = 'Main' + 'x' * k"],
        local="threading.current_thread().name = 'Main'",
        close="threading.current_thread().name = 'MainThread'",
    ),
    _python(
        "settings of NumPy",
        "library",
        "y = x * np.get_printoptions()['precision']",
        ["np.set_printoptions(precision=8 - k)"],
        local="np.set_printoptions(precision=8)",
        close="np.set_printoptions(precision=8)",
    ),
    _python(
        "working directory",
        "library",
        "y = x * (2.0 if os.getcwd() == '/' else 3.0)",
        ["PLACE[0] = (os.curdir, '/', os.curdir)[k]"],
        top="PLACE = [os.curdir]",
        around="contextlib.chdir(PLACE[0])",
    ),
    _python(
        "life of an object",
        "weak reference",
        "y = x * (2.0 if REFERENCE() is None else 3.0) + len(WEAK)",
        ["HELD[0] = None", "HELD.clear()", "WEAK.discard(HELD[0])"],
        top="class Item:\n    pass\n\n\nHELD = [Item()]\nREFERENCE = weakref.ref(HELD[0])\n"
        "WEAK = weakref.WeakSet(HELD)",
    ),
    _python(
        "counter of the step",
        "counter",
        "COUNT[0] += 1\ny = x * COUNT[0]",
        ["COUNT[0] = 0"],
        top="COUNT = [0]",
        state="COUNT",
    ),
    _python(
        "warm-up that the step counts",
        "counter",
        "if COUNT[0] < LIMIT:\n    COUNT[0] += 1\ny = x.tanh() if COUNT[0] < 2 else x * COUNT[0]",
        ["COUNT[0] = 0", "LIMIT = 3 + k"],
        top="COUNT = [0]\nLIMIT = 1",
        declare="global LIMIT",
        state="COUNT",
    ),
    _python(
        "every other time",
        "counter",
        "y = x * next(TURNS)",
        ["next(TURNS)"],
        top="TURNS = itertools.cycle([1.5, 1.5, 1.5, 2.5])",
    ),
    _python(
        "every fourth time",
        "counter",
        "COUNT[0] = (COUNT[0] + 1) % 4\ny = x.exp() if COUNT[0] == 0 else x.tanh()",
        ["COUNT[0] = 1"],
        top="COUNT = [0]",
        state="COUNT",
    ),
    _python(
        "cache that the step fills",
        "cache",
        "if 'a' not in CACHE:\n    CACHE['a'] = RATE[0] * 2\ny = x * CACHE['a']",
        ["CACHE.clear()\nRATE[0] = 1.5 + k", "RATE[0] = 1.5 + k", "CACHE['a'] = 4.0 + k"],
        top="CACHE = {}\nRATE = [1.5]",
        state="[*CACHE.values()]",
    ),
    _python(
        "lazy attribute",
        "cache",
        "y = x * LAZY.factor()",
        ["LAZY.made = None\nLAZY.source = 1.5 + k", "LAZY.made = 4.0 + k", "LAZY.source = 3.0 + k"],
        top="class Lazy:\n    made, source = None, 1.5\n\n    def factor(self):\n"
        "        if self.made is None:\n            self.made = self.source * 2\n"
        "        return self.made\n\n\nLAZY = Lazy()",
    ),
    _python(
        "cached tensor",
        "cache",
        "if CACHE.get(x.shape) is None:\n    CACHE[x.shape] = minidl.ones(*x.shape) * RATE[0]\n"
        "y = x * CACHE[x.shape]",
        ["CACHE.clear()\nRATE[0] = 1.5 + k", "CACHE[(3,)] = minidl.full((3,), 4.0 + k)"],
        top="CACHE = {}\nRATE = [1.5]",
    ),
    _python(
        "history that the step keeps",
        "counter",
        "y = x * (1 + len(HISTORY))\nHISTORY.append(1.5)",
        ["HISTORY.clear()"],
        top="HISTORY = []",
        state="[len(HISTORY)]",
    ),
    _python(
        "history with a limit",
        "counter",
        "HISTORY.append(RATE[0])\ny = x * sum(HISTORY)",
        ["RATE[0] = 1.5 + k"],
        top="HISTORY = collections.deque([1.5, 1.5], maxlen=2)\nRATE = [1.5]",
        state="[*HISTORY]",
    ),
    _python(
        "moving average",
        "counter",
        "with minidl.no_grad():\n    AVERAGE.mul_(0.9).add_(x * 0.1)\ny = x * AVERAGE",
        ["AVERAGE.zero_()", "AVERAGE.data = minidl.full((3,), 2.0 + k)"],
        top="AVERAGE = minidl.ones(3)",
        state="[AVERAGE]",
    ),
    _python(
        "tensor that the step replaces",
        "counter",
        "KEPT_TENSOR[0] = KEPT_TENSOR[0] * 0.9 + x * 0.1\ny = x * KEPT_TENSOR[0]",
        ["KEPT_TENSOR[0] = minidl.full((3,), 2.0 + k)"],
        top="KEPT_TENSOR = [minidl.ones(3)]",
        state="KEPT_TENSOR",
    ),
    _python(
        "result that is kept",
        "counter",
        "y = x * 1.5\nLAST['y'] = y",
        ["LAST.clear()"],
        top="LAST = {}",
        state="[*LAST.values()]",
    ),
    _python(
        "switch that the step turns",
        "counter",
        "y = x.exp() if ON['on'] else x.tanh()\nON['on'] = True",
        ["ON['on'] = False"],
        top="ON = {'on': True}",
    ),
)

COMBINED = (
    _python(
        "switch and values",
        "combination",
        "y = x * (FIRST[0] if SWITCH[0] else SECOND[0])",
        [
            "SWITCH[0] = k == 0\nSECOND[0] = 2.5 + k",
            "SECOND[0] = 2.5 + k",
            "SWITCH[0] = k == 0\nFIRST[0] = 2.5 + k",
        ],
        top="SWITCH, FIRST, SECOND = [True], [1.5], [2.5]",
    ),
    _python(
        "chain of defaults",
        "combination",
        "y = x * (FIRST.get('a') or SECOND.get('a') or 2.0)",
        ["SECOND['a'] = 3.0 + k", "FIRST['a'] = 3.0 + k", "FIRST['a'] = 0.0\nSECOND['a'] = 5.0"],
        top="FIRST, SECOND = {}, {}",
    ),
    _python(
        "two that change together",
        "combination",
        "y = x * FIRST[0] * SECOND[0]",
        ["FIRST[0], SECOND[0] = SECOND[0], FIRST[0] * 2", "FIRST[0] *= 2\nSECOND[0] /= 2"],
        top="FIRST, SECOND = [1.5], [2.5]",
    ),
    _python(
        "two names of one list",
        "combination",
        "y = x * FIRST[0]",
        ["SECOND[0] = 3.0 + k", "SECOND = [4.0]\nFIRST = SECOND", "SECOND.insert(0, 3.0 + k)"],
        top="FIRST = SECOND = [1.5]",
        declare="global FIRST, SECOND",
    ),
    _python(
        "branch by a name",
        "combination",
        "y = getattr(THING, MODE[0])(x)",
        [
            "MODE[0] = 'hot' if k else 'cold'",
            "Thing.hot = lambda self, x: x - k\nMODE[0] = 'hot'",
            "Thing.cold = lambda self, x: x - k",
        ],
        top="class Thing:\n    def cold(self, x):\n        return x * 1.5\n\n"
        "    def hot(self, x):\n        return x.exp()\n\n\nTHING, MODE = Thing(), ['cold']",
    ),
    _python(
        "parameters in a list",
        "combination",
        "y = model(x) + sum(p.sum().detach() for p in PARAMETERS)",
        [
            "PARAMETERS.pop()",
            "PARAMETERS[0].data = PARAMETERS[0].data * 1.5",
            "model = linear(2.0)",
            "model = copy.deepcopy(model)",
            "PARAMETERS.append(PARAMETERS[0])",
        ],
        local="model = linear(0.5)\nPARAMETERS = list(model.parameters())",
        declare="model",
    ),
    _python(
        "average of weights",
        "combination",
        "with minidl.no_grad():\n    for slow, fast in zip(SLOW, FAST):\n"
        "        slow.mul_(DECAY[0]).add_(fast * (1 - DECAY[0]))\ny = x * SLOW[0]",
        [
            "DECAY[0] = 0.5 / (1 + k)",
            "FAST[0] = minidl.full((3,), 3.0 + k)",
            "SLOW.clear()",
            "FAST[0].mul_(2)",
            "SLOW[0] = minidl.full((3,), 3.0 + k)",
        ],
        local="SLOW, FAST, DECAY = [minidl.ones(3)], [weight.detach()], [0.9]",
        state="SLOW",
    ),
)

MOVING = {
    "a generator of Python",
    "a generator of NumPy",
    "counter of the step",
    "warm-up that the step counts",
    "every other time",
    "every fourth time",
    "cache that the step fills",
    "lazy attribute",
    "history that the step keeps",
    "history with a limit",
    "tensor that the step replaces",
    "switch that the step turns",
    "state that is read",
}
"""Those whose step changes what it reads."""

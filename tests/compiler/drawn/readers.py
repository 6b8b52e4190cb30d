"""Which code of a step reads the value.

Every reader is a piece of program: ``define`` comes before the step and ``inline`` into it.
``$READ`` are the lines that assign ``v``, ``$EXPR`` is the expression of it, ``$USE`` are the
lines that compute ``y`` from ``x`` and ``v``, ``$CTX`` is what the step hands over. A reader
that "applies" reads and uses: its inline lines assign ``y``. One that "fetches" assigns ``v``.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Reader:
    """One kind of code.

    Attributes
    ----------
    name, kind : str
        What the summary calls it: one of many of a kind.
    applies : bool
        Whether it uses the value, too.
    place : str
        "step" (it is a part of the step), "called" (it is handed what ``CTX`` is, as ``ctx``),
        or "static" (it is handed nothing).
    ctx : str
        What ``CTX`` is within it.
    expression : bool
        Whether the reading has to be one expression.
    trains : bool
        Whether the step has to train.
    converts : str
        "" or what it makes of the value: "bool", "number", "text".
    """

    name: str
    kind: str
    define: str
    inline: str
    applies: bool = False
    place: str = "called"
    ctx: str = "ctx"
    expression: bool = False
    trains: bool = False
    converts: str = ""


_HELPER = """
def helper(x, ctx):
    $READ
    $USE
    return y
"""
_FETCH = """
def fetch(ctx):
    $READ
    return v
"""
_DECORATOR = """
def decorated(function):
    @functools.wraps(function)
    def wrapper(x, ctx):
        $READ
        $USE
        return function(y)

    return wrapper


@decorated
def helper(x):
    return x + 0.125
"""


def _applied(name, inline, define=_HELPER, kind="helper function", **options):
    return Reader(name, kind, define, inline, applies=True, **options)


def _fetched(name, inline, define=_FETCH, kind="callback", **options):
    return Reader(name, kind, define, inline, **options)


def _special(name, method, expr, kind="special method", bases="", **options):
    """A class with ``method``, an object of which the step makes."""
    define = f"class Reader{bases}:\n    def __init__(self, ctx):\n        self.ctx = ctx\n{method}"
    return Reader(name, kind, define, expr, ctx="self.ctx", **options)


def _method(head, tail="return v"):
    return f"\n    def {head}:\n        $READ\n        {tail}\n"


READERS = (
    Reader("step", "step", "", "$READ\n$USE", applies=True, place="step"),
    _applied("helper", "y = helper(x, $CTX)"),
    _applied(
        "helper of a helper",
        "y = outer(x, $CTX)",
        _HELPER + "\n\ndef outer(x, ctx):\n    return helper(x, ctx) + 0.125\n",
    ),
    _applied(
        "nested function",
        "def inner():\n    $READ\n    $USE\n    return y\n\ny = inner()",
        "",
        "nested function",
        place="step",
    ),
    _applied(
        "nested function twice",
        "def inner(given):\n    def innermost():\n        x = given\n        $READ\n        $USE\n"
        "        return y\n\n    return innermost()\n\ny = inner(x)",
        "",
        "nested function",
        place="step",
    ),
    _fetched("lambda", "v = (lambda: $EXPR)()", "", "lambda", place="step", expression=True),
    _fetched(
        "comprehension",
        "v = [$EXPR for _ in range(2)][0]",
        "",
        "comprehension",
        place="step",
        expression=True,
    ),
    _fetched(
        "generator expression",
        "v = next($EXPR for _ in (0,))",
        "",
        "comprehension",
        place="step",
        expression=True,
    ),
    _fetched(
        "dict comprehension",
        "v = {n: $EXPR for n in 'ab'}['b']",
        "",
        "comprehension",
        place="step",
        expression=True,
    ),
    _fetched(
        "class body",
        "class Local:\n    item = [$EXPR]\n\nv = Local.item[0]",
        "",
        "class body",
        place="step",
        expression=True,
    ),
    _fetched(
        "default argument",
        "def inner(item=$EXPR):\n    return item\n\nv = inner()",
        "",
        "default argument",
        place="step",
        expression=True,
    ),
    _fetched("walrus", "if [v := $EXPR]:\n    pass", "", "step", place="step", expression=True),
    _fetched("unpacking", "v, *_ = ($EXPR, 1, 2)", "", "step", place="step", expression=True),
    _fetched(
        "f-string",
        'held = []\nf"""{held.append($EXPR)}"""\nv = held[0]',
        "",
        "step",
        place="step",
        expression=True,
    ),
    _fetched("finally", "try:\n    v = None\nfinally:\n    $READ", "", "step", place="step"),
    _fetched(
        "exception handler",
        "try:\n    raise KeyError('drawn')\nexcept KeyError:\n    $READ",
        "",
        "step",
        place="step",
    ),
    _fetched("with no_grad", "with minidl.no_grad():\n    $READ", "", "step", place="step"),
    _fetched("while", "while True:\n    $READ\n    break", "", "step", place="step"),
    # ------------------------------------------------------------ functions that are called
    _applied("partial", "y = functools.partial(helper, ctx=$CTX)(x)", kind="partial"),
    _applied("map", "[y] = map(lambda e: helper(e, $CTX), [x])", kind="callback"),
    _applied(
        "reduce", "y = functools.reduce(lambda a, b: helper(a, b), [$CTX], x)", kind="callback"
    ),
    _applied("starmap", "y = next(itertools.starmap(helper, [(x, $CTX)]))", kind="callback"),
    _applied("keywords", "y = helper(**{'x': x, 'ctx': $CTX})"),
    _applied("table of functions", "y = {'helper': helper}['help' + 'er'](x, $CTX)"),
    _applied("method of a tensor", "y = types.MethodType(helper, x)($CTX)"),
    _applied("in a handler", "try:\n    raise KeyError\nexcept KeyError:\n    y = helper(x, $CTX)"),
    _applied("decorator", "y = helper(x, $CTX)", _DECORATOR, "decorator"),
    _applied(
        "wrapped twice",
        "y = helper(x, $CTX)",
        "def passed(function):\n    return lambda *args: function(*args)\n\n"
        + _DECORATOR.replace("@decorated\n", "@passed\n@decorated\n"),
        "decorator",
    ),
    _applied(
        "single dispatch",
        "y = helper(x, $CTX)",
        "@functools.singledispatch" + _HELPER,
        "decorator",
    ),
    _applied("minidl.no_grad()", "y = helper(x, $CTX)", "@minidl.no_grad()" + _HELPER, "decorator"),
    _applied(
        "generator",
        "y = next(produce(x, $CTX))",
        "def produce(x, ctx):\n    $READ\n    $USE\n    yield y\n",
        "generator",
    ),
    _applied(
        "generator in a loop",
        "for y in outer(x, $CTX):\n    pass",
        "def produce(x, ctx):\n    yield x\n    $READ\n    $USE\n    yield y\n\n\n"
        "def outer(x, ctx):\n    yield from produce(x, ctx)\n",
        "generator",
    ),
    _applied(
        "context manager",
        "with entered(x, $CTX) as y:\n    y = y + 0.125",
        "@contextlib.contextmanager\ndef entered(x, ctx):\n    $READ\n    $USE\n    yield y\n",
        "context manager",
    ),
    _applied(
        "coroutine",
        "try:\n    compute(x, $CTX).send(None)\nexcept StopIteration as stop:\n    y = stop.value",
        "async def compute(x, ctx):\n    $READ\n    $USE\n    return y\n",
        "coroutine",
    ),
    _applied(
        "static method",
        "y = Reader.compute(x, $CTX)",
        "class Reader:\n    @staticmethod\n    def compute(x, ctx):\n"
        "        $READ\n        $USE\n        return y\n",
        "method",
    ),
    _applied(
        "class method",
        "y = Reader.compute(x, $CTX)",
        "class Reader:\n    @classmethod\n    def compute(cls, x, ctx):\n"
        "        $READ\n        $USE\n        return y\n",
        "method",
    ),
    _applied(
        "method",
        "y = Reader().compute(x, $CTX)",
        "class Reader:\n    def compute(self, x, ctx):\n"
        "        $READ\n        $USE\n        return y\n",
        "method",
    ),
    _applied(
        "super()",
        "y = Below().compute(x, $CTX)",
        "class Above:\n    def compute(self, x, ctx):\n        $READ\n        $USE\n"
        "        return y\n\n\nclass Below(Above):\n    def compute(self, x, ctx):\n"
        "        return super().compute(x, ctx) + 0.125\n",
        "inheritance",
    ),
    _applied(
        "function of exec",
        "y = helper(x, $CTX)",
        "def fetch(ctx):\n    $READ\n    return v\n\n\n"
        "def generated(v, x):\n    $USE\n    return y\n\n\n"
        "space = {'generated': generated, 'fetch': fetch}\n"
        "exec('def helper(x, ctx):\\n    return generated(fetch(ctx), x)', space)\n"
        "helper = space['helper']\n",
        "generated code",
    ),
    _fetched("called", "v = fetch($CTX)", kind="helper function"),
    _fetched("map of a function", "[v] = map(fetch, [$CTX])"),
    _fetched(
        "filter", "v = None\n[_] = filter(lambda c: [v := fetch(c)], [$CTX])\nv = fetch($CTX)"
    ),
    _fetched("reduce of a function", "v = functools.reduce(lambda a, c: fetch(c), [$CTX], 0)"),
    _fetched("default factory", "v = collections.defaultdict(lambda: fetch($CTX))['a']"),
    _fetched("sentinel", "[v] = next(iter(lambda: [fetch($CTX)], KeyError))"),
    _fetched("operator.call", "v = operator.call(fetch, $CTX)"),
    _fetched(
        "exit stack",
        "with contextlib.ExitStack() as stack:\n    held = []\n"
        "    stack.callback(lambda: held.append(fetch($CTX)))\nv = held[0]",
    ),
    _fetched("context.run", "v = contextvars.copy_context().run(fetch, $CTX)"),
    _fetched(
        "json",
        "held = []\njson.dumps(Reader(), default=lambda o: held.append(fetch($CTX)))\nv = held[0]",
        "class Reader:\n    pass\n\n" + _FETCH,
    ),
    _fetched(
        "re.sub",
        "held = []\nre.sub('a', lambda m: held.append(fetch($CTX)) or 'b', 'a')\nv = held[0]",
    ),
    _fetched("accumulate", "v = [*itertools.accumulate([0, $CTX], lambda a, c: fetch(c))][1]"),
    _fetched(
        "thread",
        "with concurrent.futures.ThreadPoolExecutor(1) as pool:\n"
        "    v = pool.submit(fetch, $CTX).result()",
        kind="thread",
    ),
    _fetched(
        "deep copy",
        "v = copy.deepcopy(Reader($CTX))",
        "class Reader:\n    def __init__(self, ctx):\n        self.ctx = ctx\n\n"
        "    def __deepcopy__(self, memo):\n        $READ\n        return v\n",
        "special method",
        ctx="self.ctx",
    ),
    # ------------------------------------------------------------ numbers for the standard library
    _fetched(
        "sort key",
        "v = sorted([1.0, 2.0, 3.0], key=lambda e: abs(e - fetch($CTX)))[0]",
        converts="number",
    ),
    _fetched(
        "max key",
        "v = max([1.0, 2.0, 3.0], key=lambda e: -abs(e - fetch($CTX)))",
        converts="number",
    ),
    _fetched(
        "comparison",
        "v = sorted([1.0, 2.0, 3.0], key=functools.cmp_to_key("
        "lambda a, b: abs(a - fetch($CTX)) - abs(b - fetch($CTX))))[0]",
        converts="number",
    ),
    _fetched(
        "predicate",
        "v = len(list(filter(lambda e: e > fetch($CTX), [1.0, 2.0, 3.0, 4.0])))",
        converts="number",
    ),
    _fetched(
        "take while",
        "v = len([*itertools.takewhile(lambda e: e < fetch($CTX), [0.6, 1.6, 2.6, 3.6])])",
        converts="number",
    ),
    # ------------------------------------------------------------ objects
    _special("property", "\n    @property" + _method("item(self)"), "v = $READER.item", "property"),
    _special(
        "cached property",
        "\n    @functools.cached_property" + _method("item(self)"),
        "v = $READER.item",
        "property",
    ),
    _special(
        "property of a base",
        "\n    @property"
        + _method("item(self)")
        + "\n\nclass Below(Reader):\n    @property\n    def item(self):\n"
        "        return super().item\n",
        "v = Below($CTX).item",
        "inheritance",
    ),
    Reader(
        "descriptor",
        "property",
        "class Descriptor:\n    def __get__(self, instance, owner):\n        $READ\n"
        "        return v\n"
        "\n\nclass Reader:\n    item = Descriptor()\n\n    def __init__(self, ctx):\n"
        "        self.ctx = ctx\n",
        "v = $READER.item",
        ctx="instance.ctx",
    ),
    _special("__getattr__", _method("__getattr__(self, name)"), "v = $READER.item"),
    _special("__call__", _method("__call__(self)"), "v = $READER()"),
    _special("__getitem__", _method("__getitem__(self, key)"), "v = $READER['item']"),
    _special(
        "iteration by index", _method("__getitem__(self, key)"), "for v in $READER:\n    break"
    ),
    _special("__iter__", _method("__iter__(self)", "yield v"), "[v] = $READER"),
    _special("__next__", _method("__next__(self)"), "v = next($READER)"),
    _special(
        "__enter__",
        _method("__enter__(self)") + "\n    def __exit__(self, *exception):\n        pass\n",
        "with $READER as v:\n    pass",
    ),
    _special(
        "__exit__",
        "\n    def __enter__(self):\n        return self\n"
        + _method("__exit__(self, *exception)", "self.found = v"),
        "with $READER as held:\n    pass\nv = held.found",
    ),
    _special("__eq__", _method("__eq__(self, other)"), "v = $READER == 1"),
    _special("__ne__", _method("__ne__(self, other)"), "v = $READER != 1"),
    _special("__lt__", _method("__lt__(self, other)"), "v = $READER < 1"),
    _special("__ge__", _method("__ge__(self, other)"), "v = $READER >= 1"),
    _special("__add__", _method("__add__(self, other)"), "v = $READER + 1"),
    _special("__radd__", _method("__radd__(self, other)"), "v = 1 + $READER"),
    _special("__mul__", _method("__mul__(self, other)"), "v = $READER * 1"),
    _special("__or__", _method("__or__(self, other)"), "v = $READER | 1"),
    _special("__neg__", _method("__neg__(self)"), "v = -$READER"),
    _special("__matmul__", _method("__matmul__(self, other)"), "v = $READER @ 1"),
    _special("__iadd__", _method("__iadd__(self, other)"), "v = $READER\nv += 1"),
    _special("__copy__", _method("__copy__(self)"), "v = copy.copy($READER)"),
    _special("__round__", _method("__round__(self, digits=None)"), "v = round($READER)"),
    Reader(
        "__class_getitem__",
        "special method",
        "class Reader:\n    def __class_getitem__(cls, ctx):\n        $READ\n        return v\n",
        "v = Reader[$CTX]",
    ),
    _special(
        "named method",
        _method("item(self)"),
        "v = operator.methodcaller('item')($READER)",
        "method",
    ),
    _special("bound method", _method("item(self)"), "item = $READER.item\nv = item()", "method"),
    _special("getattr", _method("item(self)"), "v = getattr($READER, 'it' + 'em')()", "method"),
    Reader(
        "__init__",
        "special method",
        "class Reader:\n    def __init__(self, ctx):\n        $READ\n        self.item = v\n",
        "v = Reader($CTX).item",
    ),
    Reader(
        "__new__",
        "special method",
        "class Reader:\n    def __new__(cls, ctx):\n        $READ\n        return v\n",
        "v = Reader($CTX)",
    ),
    Reader(
        "__post_init__",
        "special method",
        "@dataclasses.dataclass\nclass Reader:\n    ctx: object\n\n    def __post_init__(self):\n"
        "        $READ\n        self.item = v\n",
        "v = Reader($CTX).item",
        ctx="self.ctx",
    ),
    Reader(
        "default factory of a dataclass",
        "special method",
        "def made():\n    $READ\n    return v\n\n\n@dataclasses.dataclass\nclass Reader:\n"
        "    item: object = dataclasses.field(default_factory=made)\n",
        "v = Reader().item",
        place="static",
    ),
    Reader(
        "__missing__",
        "special method",
        "class Reader(dict):\n    def __missing__(self, ctx):\n        $READ\n        return v\n",
        "v = Reader()[$CTX]",
    ),
    Reader(
        "metaclass",
        "special method",
        "class Meta(type):\n    def __call__(cls, ctx):\n        $READ\n        return v\n\n\n"
        "class Reader(metaclass=Meta):\n    pass\n",
        "v = Reader($CTX)",
    ),
    Reader(
        "property of a metaclass",
        "property",
        "class Meta(type):\n    @property\n    def item(cls):\n        $READ\n"
        "        return v\n\n\n"
        "class Reader(metaclass=Meta):\n    pass\n",
        "v = Reader.item",
        place="static",
    ),
    Reader(
        "__init_subclass__",
        "special method",
        "class Reader:\n    def __init_subclass__(cls, ctx):\n        $READ\n"
        "        cls.item = [v]\n",
        "class Below(Reader, ctx=$CTX):\n    pass\n\nv = Below.item[0]",
    ),
    Reader(
        "__set_name__",
        "special method",
        "class Reader:\n    def __set_name__(self, owner, name):\n        $READ\n"
        "        owner.found = [v]\n",
        "class Owner:\n    item = Reader()\n\nv = Owner.found[0]",
        place="static",
    ),
    Reader(
        "__getattr__ of a module",
        "special method",
        "def __getattr__(name):\n    if name != 'drawn_item':\n        raise AttributeError(name)\n"
        "    $READ\n    return v\n\n\nsys.modules[__name__].__getattr__ = __getattr__\n",
        "v = sys.modules[__name__].drawn_item",
        place="static",
    ),
    Reader(
        "_missing_ of an enum",
        "special method",
        "class Reader(enum.Enum):\n    first = 1\n\n    @classmethod\n"
        "    def _missing_(cls, value):\n        $READ\n"
        "        cls.first.found = v\n        return cls.first\n",
        "v = Reader('other').found",
        place="static",
    ),
    # ------------------------------------------------------------ what comes out is of one type
    _special(
        "__bool__",
        _method("__bool__(self)", "return bool(v)"),
        "v = bool($READER)",
        converts="bool",
    ),
    _special(
        "truth",
        _method("__bool__(self)", "return v == $0"),
        "v = True if $READER else False",
        converts="bool",
    ),
    _special(
        "__contains__",
        _method("__contains__(self, item)", "return v == item"),
        "v = $0 in $READER",
        converts="bool",
    ),
    _special(
        "not", _method("__bool__(self)", "return v == $0"), "v = not $READER", converts="bool"
    ),
    Reader(
        "__instancecheck__",
        "special method",
        "class Meta(type):\n    def __instancecheck__(cls, ctx):\n        $READ\n"
        "        return v == $0\n\n\nclass Reader(metaclass=Meta):\n    pass\n",
        "v = isinstance($CTX, Reader)",
        converts="bool",
    ),
    _special(
        "__len__",
        _method("__len__(self)", "return int(v * 4)"),
        "v = len($READER)",
        converts="number",
    ),
    _special(
        "truth of __len__",
        _method("__len__(self)", "return int(v == $0)"),
        "v = 2.0 if $READER else 3.0",
        converts="number",
    ),
    _special(
        "__index__",
        _method("__index__(self)", "return int(v * 4)"),
        "v = range(99)[$READER]",
        converts="number",
    ),
    _special(
        "__float__",
        _method("__float__(self)", "return float(v)"),
        "v = float($READER)",
        converts="number",
    ),
    _special(
        "__hash__",
        _method("__hash__(self)", "return int(v * 4)"),
        "v = hash($READER)",
        converts="number",
    ),
    _special(
        "__abs__", _method("__abs__(self)", "return abs(v)"), "v = abs($READER)", converts="number"
    ),
    _special(
        "__str__", _method("__str__(self)", "return str(v)"), "v = str($READER)", converts="text"
    ),
    _special(
        "__repr__",
        _method("__repr__(self)", "return str(v)"),
        "v = f'{$READER!r}'",
        converts="text",
    ),
    _special(
        "__format__",
        _method("__format__(self, spec)", "return str(v)"),
        "v = f'{$READER:x}'",
        converts="text",
    ),
    _special(
        "__fspath__",
        _method("__fspath__(self)", "return str(v)"),
        "v = os.path.join($READER, '')[:-1]",
        converts="text",
    ),
    # ------------------------------------------------------------ modules and their hooks
    _applied(
        "forward",
        "y = net(x, $CTX)",
        "class Net(nn.Module):\n    def forward(self, x, ctx):\n        $READ\n        $USE\n"
        "        return y\n\n\nnet = Net()\n",
        "forward",
    ),
    _applied(
        "forward in a network",
        "y = net(x)",
        "class Net(nn.Module):\n    def forward(self, x):\n        $READ\n        $USE\n"
        "        return y\n\n\nnet = nn.Sequential(nn.Tanh(), Net(), nn.Identity())\n",
        "forward",
        place="static",
    ),
    _applied(
        "method of a module",
        "y = net(x, $CTX)",
        "class Net(nn.Module):\n    def forward(self, x, ctx):\n"
        "        return self.compute(x, ctx)\n\n"
        "    def compute(self, x, ctx):\n        $READ\n        $USE\n        return y\n\n\n"
        "net = Net()\n",
        "forward",
    ),
    _applied(
        "__call__ of a module",
        "y = net(x, $CTX)",
        "class Net(nn.Module):\n    def __call__(self, x, ctx):\n        $READ\n        $USE\n"
        "        return y\n\n\nnet = Net()\n",
        "forward",
    ),
    _applied(
        "forward hook",
        "y = net(x)",
        "def hook(module, args, x):\n    $READ\n    $USE\n    return y\n\n\n"
        "net = nn.Tanh()\nnet.register_forward_hook(hook)\n",
        "module hook",
        place="static",
    ),
    _applied(
        "forward pre-hook",
        "y = net(x)",
        "def hook(module, args):\n    (x,) = args\n    $READ\n    $USE\n    return (y,)\n\n\n"
        "net = nn.Identity()\nnet.register_forward_pre_hook(hook)\n",
        "module hook",
        place="static",
    ),
    _applied(
        "tensor hook",
        "def hook(x):\n    $READ\n    $USE\n    return (y + x * 0).float()\n\n"
        "y = x * weight\ny.register_hook(hook)",
        "",
        "tensor hook",
        place="step",
        trains=True,
    ),
    _applied(
        "parameter hook",
        "y = x",
        "def hook(x):\n    $READ\n    $USE\n    return (y + x * 0).float()\n\n\n"
        "weight.register_hook(hook)\n",
        "tensor hook",
        place="static",
        trains=True,
    ),
    # ------------------------------------------------------------ optimizers and schedulers
    _applied(
        "step of an optimizer",
        "y = x",
        "class Optimizer(type(optimizer)):\n    def step(self, closure=None):\n"
        "        for group in self.param_groups:\n            for param in group['params']:\n"
        "                x = param.grad\n                $READ\n                $USE\n"
        "                param.grad = (y + x * 0).detach().float()\n"
        "        return super().step(closure)\n\n\n"
        "optimizer.__class__ = Optimizer\n",
        "optimizer",
        place="static",
        trains=True,
    ),
    _applied(
        "update of an optimizer",
        "y = x",
        "class Optimizer(type(optimizer)):\n    def update(self, params, gradients, group):\n"
        "        x = minidl.tensor(gradients[0].tolist())\n        $READ\n        $USE\n"
        "        y = (y + x * 0).detach().float()\n"
        "        super().update(params, [y.numpy()], group)\n\n\n"
        "optimizer.__class__ = Optimizer\n",
        "optimizer",
        place="static",
        trains=True,
    ),
    _applied(
        "zero_grad of an optimizer",
        "y = x",
        "class Optimizer(type(optimizer)):\n    def zero_grad(self, set_to_none=True):\n"
        "        x = minidl.ones(3)\n        $READ\n        $USE\n"
        "        weight.grad = (y + x * 0).detach().float()\n\n\n"
        "optimizer.__class__ = Optimizer\n",
        "optimizer",
        place="static",
        trains=True,
    ),
    _applied(
        "closure of an optimizer",
        "def closure():\n    $READ\n    $USE\n    optimizer.zero_grad()\n"
        "    loss = (y * weight).sum()\n    loss.backward()\n    return loss\n\n"
        "optimizer.step(closure)\ny = x",
        "",
        "optimizer",
        place="step",
        trains=True,
    ),
    _applied(
        "get_lr of a scheduler",
        "scheduler.step()\ny = x",
        "class Scheduler(minidl.optim.lr_scheduler.LRScheduler):\n    def get_lr(self):\n"
        "        x = minidl.tensor([0.25, 0.5, 0.75])\n        $READ\n        $USE\n"
        "        y = (y + x * 0).detach().sum().item()\n"
        "        return [abs(y) / (100 + abs(y)) for _ in self.base_lrs]\n\n\n"
        "scheduler = minidl.optim.lr_scheduler.StepLR(optimizer, 3)\n"
        "scheduler.__class__ = Scheduler\n",
        "scheduler",
        place="static",
        trains=True,
    ),
    _fetched(
        "lambda of a scheduler",
        "scheduler.step()\nv = scheduler.get_last_lr()[0]",
        "def factor(epoch):\n    $READ\n    return v / (1 + v)\n\n\n"
        "scheduler = minidl.optim.lr_scheduler.StepLR(optimizer, 3)\n"
        "scheduler.__class__ = minidl.optim.lr_scheduler.LambdaLR\n"
        "scheduler.lr_lambdas = [factor]\n",
        "scheduler",
        place="static",
        trains=True,
        converts="number",
    ),
)
"""All readers, the plainest first."""

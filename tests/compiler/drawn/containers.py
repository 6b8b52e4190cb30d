"""What values lie in: how each container is built, read and changed.

``$i`` is what is put in, ``$c`` the container, ``$t`` the name that a reading assigns to,
``$new`` what takes the place of ``$i``. A reading without ``$t`` is an expression.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Container:
    """One type of container.

    Attributes
    ----------
    build : str
        The expression that makes one.
    reads : tuple of str
        The first of them is an expression that fits where the container is changed, too.
    sums : tuple of str
        Expressions that make a number of a container that holds a number.
    sets, deletes : tuple of str
        Statements that put another thing in, or take it out.
    moves : tuple of str
        Statements that change the container around what it holds.
    holds : str
        The traits that a value needs to lie in it, "" for any value.
    excludes : str
        Names and traits of kinds that cannot.
    stateful : bool
        Whether a reading changes it.
    """

    name: str
    build: str
    reads: tuple[str, ...]
    sums: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    deletes: tuple[str, ...] = ()
    moves: tuple[str, ...] = ()
    holds: str = ""
    excludes: str = ""
    stateful: bool = False


_ATTRIBUTE = (
    "$c.item",
    "getattr($c, 'item')",
    "getattr($c, 'it' + 'em')",
    "getattr($c, 'item', None)",
    "operator.attrgetter('item')($c)",
    "(lambda o: o.item)($c)",
    "[o.item for o in [$c]][0]",
    "next(map(lambda o: o.item, [$c]))",
    "copy.copy($c).item",
    "type($c).__getattribute__($c, 'item')",
    "functools.reduce(getattr, ['item'], $c)",
    "$t = $c.item if hasattr($c, 'item') else None",
    "if (owner := $c) is not None:\n    $t = owner.item",
    "try:\n    $t = $c.item\nexcept AttributeError:\n    $t = 1.25",
    "for o in ($c,):\n    $t = o.item",
    "$t = getattr($c, NAME)",
)
_NOT_OWN = tuple(read for read in _ATTRIBUTE if "copy" not in read and "attribute__" not in read)
_OWN = (
    "vars($c)['item']",
    "$c.__dict__['item']",
    "$c.__dict__.get('item')",
    "{**vars($c)}['item']",
    "list(vars($c).values())[0]",
    "[e for n, e in vars($c).items() if n == 'item'][0]",
    "operator.itemgetter('item')(vars($c))",
    "object.__getattribute__($c, 'item')",
    "$c.__getstate__()['item']",
)
_SET = ("$c.item = $new", "setattr($c, 'item', $new)", "setattr($c, NAME, $new)")
_SET_OWN = (
    "$c.__dict__['item'] = $new",
    "vars($c).update(item=$new)",
    "$c.__dict__ |= {NAME: $new}",
)
_SET_CLASS = (
    "type($c).item = property(lambda self, new=$new: new)",
    "$c.__class__ = type('Other', (type($c),), {'item': property(lambda self, new=$new: new)})",
    "type($c).__getattribute__ = lambda s, n, new=$new: new if n == 'item' else object"
    ".__getattribute__(s, n)",
)
_KEY = (
    "$c['item']",
    "$c.get('item')",
    "$c['it' + 'em']",
    "$c[NAME]",
    "list($c.values())[0]",
    "[*$c.values()][-1]",
    "{**$c}['item']",
    "operator.itemgetter('item')($c)",
    "(lambda **k: k['item'])(**$c)",
    "dict($c)['item']",
    "next(e for n, e in $c.items() if n == 'item')",
    "{n: e for n, e in $c.items()}['item']",
    "copy.copy($c)['item']",
    "$c.__getitem__('item')",
    "dict(zip($c.keys(), $c.values()))['item']",
    "functools.reduce(operator.getitem, ['item'], $c)",
    "for n, e in $c.items():\n    if n == NAME:\n        $t = e",
    "try:\n    $t = $c['item']\nexcept KeyError:\n    $t = 1.25",
    "match $c:\n    case {'item': e}:\n        $t = e\n    case _:\n        $t = 1.25",
    "$t = $c['item'] if 'item' in $c else 1.25",
    "$t = [$c[n] for n in sorted($c) if n.startswith('it')][0]",
)
_SET_KEY = (
    "$c['item'] = $new",
    "$c.update(item=$new)",
    "$c[NAME] = $new",
    "$c.__setitem__('item', $new)",
    "$c.pop('item')\n$c['item'] = $new",
)
_DELETE_KEY = ("del $c['item']", "$c.pop('item')", "$c.clear()")
_KEY_SUMS = (
    "sum($c.values())",
    "(1 + len($c))",
    "max($c.values())",
    "(2 + ('extra' in $c))",
    "len(str(dict($c)))",
    "(3 - bool($c))",
    "({'item': 1.5} == $c) + 1",
    "len(''.join($c))",
    "len(next(reversed(list($c)), ''))",
)
_MOVES_KEY = ("$c['extra'] = 3.0 + k", "$c.setdefault('more', 4.0)", "$c.clear()")
_INDEX = (
    "$c[1]",
    "$c[-1]",
    "$c[ONE]",
    "list($c)[1]",
    "operator.itemgetter(1)($c)",
    "(lambda *a: a[1])(*$c)",
    "(lambda a, b, *c: b)(*$c)",
    "tuple($c)[1]",
    "[*$c][-1]",
    "$c[len($c) - 1]",
    "dict(enumerate($c))[1]",
    "dict(zip('ab', $c))['b']",
    "copy.copy($c)[1]",
    "functools.reduce(lambda a, b: b, $c)",
    "next(reversed($c))",
    "[e for e in $c][1]",
    "[e for i, e in enumerate($c) if i == 1][0]",
    "next(itertools.islice($c, 1, None))",
    "sorted(enumerate($c), key=lambda p: p[0])[-1][1]",
    "$c.__getitem__(1)",
    "_, $t = $c",
    "*_, $t = $c",
    "for $t in $c:\n    pass",
    "for i, $t in enumerate($c):\n    if i:\n        break",
    "match $c:\n    case [_, e]:\n        $t = e\n    case _:\n        $t = 1.25",
    "try:\n    $t = $c[1]\nexcept IndexError:\n    $t = 1.25",
    "it = iter($c)\nnext(it)\n$t = next(it)",
)
_LIST_SUMS = (
    "sum($c)",
    "len($c)",
    "max($c)",
    "min($c)",
    "(2 + (1.0 in $c))",
    "functools.reduce(operator.mul, $c)",
    "sum(e * i for i, e in enumerate($c))",
    "sorted($c, key=lambda e: -e)[0]",
    "sum(map(lambda e: e * e, $c))",
    "(1 + sum(1 for e in $c if e > 1))",
    "len(str(list($c)))",
    "(1 + $c.count(1.0))",
    "sum(a * b for a, b in zip($c, [2.0, 3.0, 4.0]))",
    "(2 + any(e > 1.2 for e in $c))",
    "(3 - ([1.0, 1.5] == list($c)))",
)
_SET_INDEX = (
    "$c[1] = $new",
    "$c[-1] = $new",
    "$c.__setitem__(ONE, $new)",
    "$c.pop()\n$c.append($new)",
)
_MOVES_INDEX = ("$c.append(3.0 + k)", "$c.insert(0, 3.0 + k)", "$c.reverse()", "$c.clear()")
_DELETE_INDEX = ("del $c[1]", "$c.pop()", "$c.clear()")

CONTAINERS = (
    Container(
        "object",
        "Plain($i)",
        (*_ATTRIBUTE, *_OWN),
        ("(1 + len(vars($c)))", "(2 + hasattr($c, 'extra'))"),
        (*_SET, *_SET_OWN, *_SET_CLASS),
        ("del $c.item", "vars($c).clear()"),
        ("$c.extra = 3.0 + k", "vars($c)['extra'] = k"),
    ),
    Container(
        "dict",
        "{'item': $i}",
        (*_KEY, "($c | {})['item']", "$c.setdefault('item', None)"),
        _KEY_SUMS,
        (*_SET_KEY, "$c.__ior__({NAME: $new})"),
        _DELETE_KEY,
        _MOVES_KEY,
    ),
    Container(
        "list",
        "[1.0, $i]",
        (*_INDEX, "$c.copy()[-1]", "($c + [])[1]", "$c[1:][0]", "_, $t, *_ = $c"),
        _LIST_SUMS,
        (*_SET_INDEX, "$c[1:] = [$new]"),
        _DELETE_INDEX,
        _MOVES_INDEX,
    ),
    Container("tuple", "(1.0, $i)", (*_INDEX, "($c + ())[1]"), _LIST_SUMS),
    Container(
        "dataclass",
        "Data($i)",
        (
            *_ATTRIBUTE,
            *_OWN,
            "dataclasses.replace($c).item",
            "getattr($c, dataclasses.fields($c)[0].name)",
            "match $c:\n    case Data(item=e):\n        $t = e",
            "match $c:\n    case Data(e):\n        $t = e",
        ),
        ("(2 + ($c == Data(1.5)))", "len(repr($c))"),
        (*_SET, *_SET_OWN, *_SET_CLASS),
        ("del $c.item",),
    ),
    Container(
        "frozen dataclass",
        "Frozen($i)",
        (*_ATTRIBUTE, *_OWN, "match $c:\n    case Frozen(e):\n        $t = e"),
        ("(2 + ($c == Frozen(1.5)))",),
        ("object.__setattr__($c, 'item', $new)", "$c.__dict__['item'] = $new"),
    ),
    Container(
        "named tuple",
        "Pair(1.0, $i)",
        (
            "$c.item",
            "$c[1]",
            "$c._asdict()['item']",
            "getattr($c, $c._fields[1])",
            "_, $t = $c",
            "match $c:\n    case Pair(item=e):\n        $t = e",
            "dict(zip($c._fields, $c))['item']",
        ),
        ("sum($c)",),
    ),
    Container(
        "namespace",
        "types.SimpleNamespace(item=$i)",
        (*_ATTRIBUTE, *_OWN[:7]),
        (),
        (*_SET, *_SET_OWN[:2]),
        ("del $c.item",),
    ),
    Container("slots", "Slotted($i)", _ATTRIBUTE, (), (*_SET, *_SET_CLASS[:1]), ("del $c.item",)),
    Container(
        "property",
        "Guarded($i)",
        _ATTRIBUTE,
        (),
        ("$c._item = $new", "$c.item = $new", "vars($c)['_item'] = $new", *_SET_CLASS),
        ("del $c._item",),
    ),
    Container(
        "__getattr__",
        "Lazy(item=$i)",
        _NOT_OWN,
        (),
        (
            "vars($c)['store']['item'] = $new",
            "$c.store.update(item=$new)",
            "$c.item = $new",
            "type($c).__getattr__ = lambda self, name, new=$new: new",
            "vars($c)['store'] = {'item': $new}",
        ),
        ("del $c.store['item']",),
    ),
    Container("__getattribute__", "Eager($i)", _NOT_OWN, (), ("STORE['item'] = $new",)),
    Container(
        "cached property",
        "Cached($i)",
        _ATTRIBUTE,
        (),
        (
            "$c.__dict__['item'] = $new",
            "$c.source = $new",
            "$c.source = $new\nvars($c).pop('item', None)",
            "$c.item = $new",
        ),
        ("vars($c).clear()",),
    ),
    Container(
        "descriptor",
        "Described($i)",
        _NOT_OWN,
        (),
        ("$c.item = $new", "Described.__dict__['item'].store[id($c)] = $new"),
    ),
    Container(
        "ordered dict",
        "collections.OrderedDict(item=$i)",
        _KEY,
        _KEY_SUMS,
        _SET_KEY,
        _DELETE_KEY,
        (*_MOVES_KEY, "$c.move_to_end(list($c)[0])"),
    ),
    Container(
        "default dict",
        "collections.defaultdict(lambda: 2.5, item=$i)",
        (*_KEY, "$c['item']"),
        _KEY_SUMS,
        (*_SET_KEY, "$c.pop('item')\n$c.default_factory = lambda new=$new: new"),
        _DELETE_KEY,
        _MOVES_KEY,
    ),
    Container(
        "counter",
        "collections.Counter(item=$i)",
        _KEY[:4],
        ("$c.total()", "$c.most_common(1)[0][1]", *_KEY_SUMS),
        ("$c['item'] = $new", "$c[NAME] = $new"),
        _DELETE_KEY,
        ("$c['extra'] = 7 + k",),
        holds="number",
    ),
    Container(
        "chain map",
        "collections.ChainMap({}, {'item': $i})",
        _KEY[:7],
        _KEY_SUMS[:4],
        (
            "$c.maps[1]['item'] = $new",
            "$c.maps[0]['item'] = $new",
            "$c['item'] = $new",
            "$c.maps.insert(0, {'item': $new})",
            "$c.maps[0:1] = [{'item': $new}]",
        ),
        ("$c.maps.clear()",),
    ),
    Container(
        "user dict",
        "collections.UserDict(item=$i)",
        _KEY[:7],
        _KEY_SUMS[:4],
        (*_SET_KEY, "$c.data['item'] = $new", "$c.data = {'item': $new}"),
        _DELETE_KEY,
        _MOVES_KEY,
    ),
    Container(
        "dict with __missing__",
        "Missing(item=$i)",
        (*_KEY[:7], "$c['other']", "$c['it' 'em']"),
        _KEY_SUMS,
        (*_SET_KEY, "$c.fallback = $new", "Missing.__missing__ = lambda self, key, new=$new: new"),
        _DELETE_KEY,
    ),
    Container(
        "proxy of a dict",
        "types.MappingProxyType({'item': $i})",
        _KEY[:7],
        _KEY_SUMS[:4],
        ("gc.get_referents($c)[0]['item'] = $new",),
        ("gc.get_referents($c)[0].clear()",),
        ("gc.get_referents($c)[0]['extra'] = 3.0 + k",),
    ),
    Container(
        "deque",
        "collections.deque([1.0, $i])",
        _INDEX,
        _LIST_SUMS,
        _SET_INDEX,
        _DELETE_INDEX,
        (*_MOVES_INDEX, "$c.appendleft(3.0 + k)", "$c.rotate()"),
    ),
    Container(
        "user list",
        "collections.UserList([1.0, $i])",
        _INDEX[:7],
        _LIST_SUMS[:4],
        (*_SET_INDEX, "$c.data = [1.0, $new]"),
        _DELETE_INDEX,
        _MOVES_INDEX,
    ),
    Container(
        "list subclass",
        "Row([1.0, $i])",
        (*_INDEX, "$c.last()"),
        _LIST_SUMS,
        (*_SET_INDEX, "Row.__getitem__ = lambda self, key, new=$new: new"),
        _DELETE_INDEX,
        _MOVES_INDEX,
    ),
    Container(
        "set",
        "{$i}",
        (
            "next(iter($c))",
            "[*$c][0]",
            "list($c)[0]",
            "[e for e in $c][-1]",
            "for $t in $c:\n    pass",
            "($t,) = $c",
            "min($c, key=lambda e: type(e).__name__)",
        ),
        ("sum($c)", "(1 + len($c))", "max($c)", "(2 + (1.5 in $c))", "(2 + ({1.5} <= $c))"),
        ("$c.clear()\n$c.add($new)",),
        ("$c.clear()",),
        ("$c.add(3.0 + k)",),
        holds="plain",
    ),
    Container(
        "frozen set", "frozenset([$i])", ("next(iter($c))", "[*$c][0]"), ("sum($c)",), holds="plain"
    ),
    Container(
        "module list",
        "nn.ModuleList([nn.Tanh(), Holder($i)])",
        (
            "$c[1].item",
            "$c[-1].item",
            "[m.item for m in $c if hasattr(m, 'item')][0]",
            "list($c)[1].item",
            "list($c.children())[1].item",
            "$c.get_submodule('1').item",
            "dict($c.named_children())['1'].item",
            "getattr($c, '1').item",
            "for m in $c.modules():\n    $t = getattr(m, 'item', None)",
        ),
        ("(1 + len($c))", "(1 + len(list($c.modules())))"),
        ("$c[1].item = $new", "$c[1] = Holder($new)"),
        ("del $c[1]",),
        ("$c.append(nn.Tanh())", "$c.insert(0, nn.Tanh())"),
    ),
    Container(
        "module dict",
        "nn.ModuleDict({'held': Holder($i)})",
        (
            "$c['held'].item",
            "[m.item for m in $c.values()][0]",
            "dict($c.items())['held'].item",
            "$c[list($c.keys())[0]].item",
            "$c.held.item",
        ),
        ("(1 + len($c))", "(2 + ('extra' in $c))"),
        (
            "$c['held'].item = $new",
            "$c['held'] = Holder($new)",
            "$c.update({'held': Holder($new)})",
        ),
        ("del $c['held']", "$c.pop('held')"),
        ("$c['extra'] = nn.Tanh()",),
    ),
    Container(
        "sequential",
        "nn.Sequential(nn.Tanh(), Holder($i))",
        ("$c[1].item", "$c[-1].item", "[*$c][1].item", "$c[1:][0].item"),
        ("(1 + len($c))",),
        ("$c[1].item = $new", "$c[1] = Holder($new)"),
        ("del $c[1]",),
        ("$c.append(nn.Tanh())",),
    ),
    Container(
        "module attribute",
        "Holder($i)",
        (*_ATTRIBUTE, *_OWN[:2]),
        ("(2 + $c.training)", "(2 + hasattr($c, 'extra'))"),
        (
            *_SET,
            "$c.__dict__['item'] = $new",
            "type($c).item = property(lambda self, new=$new: new)",
        ),
        ("del $c.item",),
        ("$c.eval() if k else $c.train()", "$c.extra = k"),
    ),
    Container(
        "enum",
        "enum.Enum('Setting', {'item': $i})",
        ("$c.item.value", "$c['item'].value", "list($c)[0].value", "[e.value for e in $c][0]"),
        ("sum(e.value for e in $c)",),
        ("$c.item._value_ = $new",),
        holds="plain",
    ),
    Container(
        "class",
        "type('Space', (), {'item': $i})",
        (
            "$c.item",
            "getattr($c, 'it' + 'em')",
            "vars($c)['item']",
            "$c.__dict__['item']",
            "$c().item",
            "operator.attrgetter('item')($c)",
            "type('Below', ($c,), {}).item",
        ),
        ("(2 + hasattr($c, 'extra'))",),
        ("$c.item = $new", "setattr($c, NAME, $new)", "type.__setattr__($c, 'item', $new)"),
        ("del $c.item",),
        ("$c.extra = k",),
        excludes="function",
    ),
    Container(
        "base class",
        "type('Child', (type('Parent', (), {'item': $i}),), {})",
        ("$c.item", "$c().item", "super($c, $c()).item", "vars($c.__mro__[1])['item']"),
        (),
        (
            "$c.__mro__[1].item = $new",
            "$c.item = $new",
            "$c.__bases__ = (type('Parent', (), {'item': $new}),)",
        ),
        excludes="function",
    ),
    Container(
        "class in class",
        "type('Outer', (), {'Inner': type('Inner', (), {'item': $i})})",
        ("$c.Inner.item", "$c().Inner.item", "operator.attrgetter('Inner.item')($c)"),
        (),
        ("$c.Inner.item = $new", "$c.Inner = type('Inner', (), {'item': $new})"),
        excludes="function",
    ),
    Container(
        "attribute of the class",
        "type('Space', (), {'item': $i})()",
        (*_ATTRIBUTE[:6], "type($c).item", "$c.__class__.item"),
        ("(1 + len(vars($c)))",),
        ("type($c).item = $new", "$c.item = $new", *_SET_CLASS[:2]),
        ("del type($c).item",),
        excludes="function",
    ),
    Container(
        "weak reference",
        "weakref.ref(kept(Plain($i)))",
        ("$c().item", "vars($c())['item']", "if (o := $c()) is not None:\n    $t = o.item"),
        (),
        ("$c().item = $new",),
    ),
    Container(
        "weak proxy", "weakref.proxy(kept(Plain($i)))", ("$c.item",), (), ("$c.item = $new",)
    ),
    Container(
        "weak dict",
        "weakref.WeakValueDictionary(item=kept(Plain($i)))",
        ("$c['item'].item", "$c.get('item').item", "[*$c.values()][0].item"),
        ("(1 + len($c))",),
        ("$c['item'] = kept(Plain($new))", "$c['item'].item = $new"),
        ("KEPT.clear()",),
        ("$c['extra'] = kept(Plain(k))",),
    ),
    Container(
        "closure",
        "(lambda v: lambda: v)($i)",
        ("$c()", "$c.__closure__[0].cell_contents"),
        (),
        ("$c.__closure__[0].cell_contents = $new",),
    ),
    Container(
        "partial",
        "functools.partial(identity, item=$i)",
        ("$c()", "$c.keywords['item']", "$c.func(**$c.keywords)"),
        (),
        ("$c.keywords['item'] = $new", "$c.__setstate__((identity, (), {'item': $new}, {}))"),
    ),
    Container(
        "positional partial",
        "functools.partial(identity, $i)",
        ("$c()", "$c.args[0]"),
        (),
        ("$c.__setstate__((identity, ($new,), {}, {}))",),
    ),
    Container(
        "bound method",
        "Plain($i).get",
        ("$c()", "$c.__self__.item"),
        (),
        (
            "$c.__self__.item = $new",
            "type($c.__self__).get = lambda self, new=$new: new",
            "type($c.__self__).item = property(lambda self, new=$new: new)",
        ),
    ),
    Container(
        "default of a function",
        "(lambda v=$i: v)",
        ("$c()", "$c.__defaults__[0]"),
        (),
        ("$c.__defaults__ = ($new,)",),
        ("$c.__defaults__ = ()",),
    ),
    Container(
        "keyword default",
        "(lambda *, v=$i: v)",
        ("$c()", "$c.__kwdefaults__['v']"),
        (),
        ("$c.__kwdefaults__ = {'v': $new}", "$c.__kwdefaults__['v'] = $new"),
        ("$c.__kwdefaults__.clear()",),
    ),
    Container(
        "attribute of a function",
        "attributed(lambda: None, $i)",
        ("$c.item", "vars($c)['item']", "getattr($c, NAME)"),
        (),
        ("$c.item = $new", "$c.__dict__['item'] = $new"),
        ("del $c.item",),
    ),
    Container(
        "module object",
        "attributed(types.ModuleType('space'), $i)",
        ("$c.item", "vars($c)['item']", "getattr($c, NAME)", "$c.__dict__.get('item')"),
        (),
        (
            "$c.item = $new",
            "vars($c)['item'] = $new",
            "$c.__getattr__ = lambda n: 1.25\ndel $c.item",
        ),
        ("del $c.item",),
    ),
    Container(
        "context variable",
        "contextvars.ContextVar('drawn', default=$i)",
        ("$c.get()", "contextvars.copy_context().run($c.get)"),
        (),
        ("$c.set($new)",),
    ),
    Container(
        "cell",
        "types.CellType($i)",
        ("$c.cell_contents",),
        (),
        ("$c.cell_contents = $new",),
        ("del $c.cell_contents",),
    ),
    Container(
        "null context",
        "contextlib.nullcontext($i)",
        ("$c.enter_result", "with $c as $t:\n    pass"),
        (),
        ("$c.enter_result = $new",),
    ),
    Container(
        "thread-local",
        "attributed(threading.local(), $i)",
        ("$c.item", "getattr($c, NAME)"),
        (),
        ("$c.item = $new",),
        ("del $c.item",),
    ),
    Container("json", "json.dumps($i)", ("json.loads($c)",), ("len($c)",), holds="json"),
    Container(
        "pickle", "pickle.dumps($i)", ("pickle.loads($c)",), ("(len($c) % 7)",), holds="json"
    ),
    Container("repeat", "itertools.repeat($i)", ("next($c)",)),
    Container(
        "iterator",
        "iter([$i] * 99)",
        ("next($c)", "for $t in $c:\n    break", "next($c, 1.25)", "[*itertools.islice($c, 1)][0]"),
        stateful=True,
    ),
    Container(
        "cycle",
        "itertools.cycle([make_value() for make_value in VALUES] or [$i])",
        ("next($c)", "for $t in $c:\n    break"),
        stateful=True,
    ),
    Container(
        "generator",
        "(make_value() for _ in range(9) for make_value in VALUES)",
        ("next($c)", "next($c, 1.25)", "$c.send(None)"),
        stateful=True,
    ),
    Container(
        "queue",
        "collections.deque([make_value() for make_value in VALUES * 9])",
        ("$c.popleft()", "$c.pop()"),
        stateful=True,
    ),
    Container(
        "array of objects",
        "object_array(1.0, $i)",
        ("$c[1]", "$c[-1]", "$c.tolist()[1]", "$c.item(1)", "list($c)[1]", "_, $t = $c"),
        ("$c.sum()", "(1 + len($c))"),
        ("$c[1] = $new", "$c.itemset(1, $new) if hasattr($c, 'itemset') else $c.put(1, $new)"),
        excludes="list dict module shape array set tensor",
    ),
    Container(
        "array of numbers",
        "np.array([1.0, $i])",
        ("float($c[1])", "$c.tolist()[1]", "$c.item(1)", "$c[1]", "float($c[1:].sum())"),
        (
            "float($c.sum())",
            "float($c.max())",
            "len($c)",
            "int($c.argmax() + 1)",
            "$c.mean()",
            "float(np.dot($c, $c))",
            "float(np.add.reduce($c))",
        ),
        ("$c[1] = $new", "$c[1:] = $new", "np.put($c, 1, $new)", "$c.flat[1] = $new"),
        moves=(
            "np.add($c, 1.0, out=$c)",
            "$c[0] = 7.0 + k",
            "$c.sort()",
            "np.multiply($c, 2, out=$c)",
        ),
        holds="number",
    ),
    Container(
        "array.array",
        "array.array('d', [1.0, $i])",
        ("$c[1]", "list($c)[1]", "$c.tolist()[1]", "_, $t = $c"),
        ("sum($c)", "len($c)", "max($c)"),
        ("$c[1] = $new",),
        moves=("$c.append(3.0 + k)", "$c[0] = 4.0 + k"),
        holds="number",
    ),
    Container(
        "bytearray",
        "bytearray([1, int($i * 2)])",
        ("$c[1]", "list($c)[1]", "memoryview($c)[1]", "int.from_bytes($c, 'little') / 256"),
        ("sum($c)", "len($c)"),
        ("$c[1] = int($new * 2)",),
        moves=("$c.append(3 + k)",),
        holds="number",
    ),
)
"""All containers, the plainest first."""

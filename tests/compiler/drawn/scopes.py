"""Where the outermost container of what a step reads is kept.

``$build`` is the expression that makes it and ``$new`` what takes its place. ``CTX`` is what
the step hands to its readers: ``self``, an argument, or None.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Scope:
    """One place.

    Attributes
    ----------
    top, local, after : str
        Lines at the top of the module; before the step is defined; after it.
    exprs : tuple of str
        Expressions that read it. The first fits where it is changed, too, if ``peek`` is "".
    lines : tuple of str
        Statements that read it into ``$t``.
    peek : str
        The expression that reads it where it is changed, if it is another.
    writes, deletes : tuple of str
        Statements that replace it and that remove it.
    declare : str
        A statement that a function needs in order to assign to it.
    ctx : str
        "" or what the step is: "method" (``self`` has it), "argument", "default", "partial".
    static : str
        What stands for ``CTX`` where the step hands nothing over, if anything can.
    args : str
        The body of ``args(i)``, if the step takes more than ``x``.
    files : dict
        Further modules of the program's package, by name.
    nested : bool
        Whether the program has to be written inside of a function.
    holds, excludes : str
        Traits that a value needs that is kept here without a container, and kinds that cannot be.
    close : str
        Statements that undo what reaches beyond the program.
    shared : bool
        Whether both copies of a program see the same place.
    """

    name: str
    exprs: tuple[str, ...]
    writes: tuple[str, ...]
    deletes: tuple[str, ...] = ()
    top: str = ""
    local: str = ""
    after: str = ""
    lines: tuple[str, ...] = ()
    peek: str = ""
    declare: str = ""
    ctx: str = ""
    static: str = ""
    args: str = ""
    files: dict = field(default_factory=dict)
    nested: bool = False
    holds: str = ""
    excludes: str = ""
    close: str = ""
    shared: bool = False


_SETTINGS = """
root = None


def get():
    return root


def replace(new):
    global root
    root = new


class Reader:
    @property
    def root(self):
        return root


reader = Reader()
"""
_LAZY_SETTINGS = """
_values = {}


def __getattr__(name):
    try:
        return _values[name]
    except KeyError:
        raise AttributeError(name) from None
"""
_SETTINGS_WRITES = (
    "settings.root = $new",
    "settings.replace($new)",
    "settings.__dict__['root'] = $new",
    "setattr(settings, 'root', $new)",
)

SCOPES = (
    Scope(
        "global",
        (
            "ROOT",
            "globals()['ROOT']",
            "globals().get('RO' + 'OT')",
            "sys.modules[__name__].ROOT",
            "vars(sys.modules[__name__])['ROOT']",
            "getattr(sys.modules[__name__], 'ROOT')",
            "eval('ROOT')",
            "importlib.import_module(__name__).ROOT",
            "identity.__globals__['ROOT']",
            "(lambda: ROOT)()",
            "[ROOT for _ in range(1)][0]",
        ),
        (
            "ROOT = $new",
            "globals()['ROOT'] = $new",
            "setattr(sys.modules[__name__], 'ROOT', $new)",
            "exec('ROOT = new', globals(), {'new': 0}) or globals().update(ROOT=$new)",
        ),
        ("del ROOT", "globals().pop('ROOT')"),
        local="globals()['ROOT'] = $build",
        declare="global ROOT",
    ),
    Scope(
        "closure cell",
        ("root", "(lambda: root)()", "[root for _ in range(1)][0]"),
        ("root = $new",),
        ("del root",),
        local="root = $build",
        declare="nonlocal root",
        nested=True,
    ),
    Scope(
        "cell of a made function",
        ("fetch_root()", "fetch_root.__closure__[0].cell_contents"),
        ("fetch_root.__closure__[0].cell_contents = $new", "fetch_root = made_fetch($new)"),
        top="def made_fetch(root):\n    def fetch():\n        return root\n\n    return fetch",
        local="globals()['fetch_root'] = made_fetch($build)",
        declare="global fetch_root",
    ),
    Scope(
        "default argument",
        ("fetch_root()", "fetch_root.__defaults__[0]"),
        ("fetch_root.__defaults__ = ($new,)",),
        ("fetch_root.__defaults__ = ()",),
        local="def fetch_root(root=$build):\n    return root\n",
    ),
    Scope(
        "keyword-only default",
        ("fetch_root()", "fetch_root.__kwdefaults__['root']"),
        (
            "fetch_root.__kwdefaults__ = {'root': $new}",
            "fetch_root.__kwdefaults__['root'] = $new",
        ),
        ("fetch_root.__kwdefaults__ = None",),
        local="def fetch_root(*, root=$build):\n    return root\n",
    ),
    Scope(
        "default of the step",
        ("CTX",),
        ("step.__defaults__ = ($new,)",),
        peek="step.__defaults__[0]",
        ctx="default",
    ),
    Scope(
        "keyword-only default of the step",
        ("CTX",),
        ("step.__kwdefaults__ = {'root': $new}", "step.__kwdefaults__['root'] = $new"),
        peek="step.__kwdefaults__['root']",
        ctx="keyword default",
    ),
    Scope(
        "partial of the step",
        ("CTX",),
        ("target.keywords['root'] = $new", "target.__setstate__((step, (), {'root': $new}, {}))"),
        peek="target.keywords['root']",
        ctx="partial",
    ),
    Scope(
        "attribute of self",
        (
            "CTX.root",
            "getattr(CTX, 'ro' + 'ot')",
            "vars(CTX)['root']",
            "CTX.__dict__['root']",
            "operator.attrgetter('root')(CTX)",
        ),
        (
            "case.root = $new",
            "setattr(case, 'root', $new)",
            "case.__dict__['root'] = $new",
            "vars(case).update(root=$new)",
            "type(case).root = property(lambda self, new=$new: new)",
        ),
        ("del case.root", "vars(case).pop('root')"),
        after="case.root = $build",
        ctx="method",
        static="case",
    ),
    Scope(
        "class of self",
        ("CTX.root", "type(CTX).root", "CTX.__class__.root", "vars(type(CTX))['root']"),
        ("type(case).root = $new", "case.root = $new", "setattr(type(case), 'root', $new)"),
        ("del type(case).root",),
        after="type(case).root = $build",
        ctx="method",
        static="case",
        excludes="function",
    ),
    Scope(
        "argument object",
        ("CTX.item", "getattr(CTX, 'item')", "vars(CTX)['item']", "CTX.get()"),
        ("PASSED.item = $new", "vars(PASSED)['item'] = $new", "PASSED = Plain($new)"),
        ("del PASSED.item",),
        top="PASSED = None",
        local="globals()['PASSED'] = Plain($build)",
        declare="global PASSED",
        peek="PASSED.item",
        ctx="argument",
        args="return (PASSED,), {}",
    ),
    Scope(
        "argument",
        ("CTX",),
        ("PASSED = $new",),
        top="PASSED = None",
        local="globals()['PASSED'] = $build",
        declare="global PASSED",
        peek="PASSED",
        ctx="argument",
        args="return (PASSED,), {}",
    ),
    Scope(
        "keyword argument",
        ("CTX",),
        ("PASSED = $new",),
        top="PASSED = None",
        local="globals()['PASSED'] = $build",
        declare="global PASSED",
        peek="PASSED",
        ctx="argument",
        args="return (), {'argument': PASSED}",
    ),
    Scope(
        "element of an argument",
        ("CTX[1]", "CTX[-1]", "[*CTX][1]"),
        ("PASSED[1] = $new", "PASSED = [1.0, $new]", "PASSED = (1.0, $new)"),
        top="PASSED = None",
        local="globals()['PASSED'] = [1.0, $build]",
        declare="global PASSED",
        peek="PASSED[1]",
        ctx="argument",
        args="return (PASSED,), {}",
    ),
    Scope(
        "key of an argument",
        ("CTX['root']", "CTX.get('root')", "[*CTX.values()][0]"),
        ("PASSED['root'] = $new", "PASSED = {'root': $new}"),
        ("PASSED.clear()",),
        top="PASSED = None",
        local="globals()['PASSED'] = {'root': $build}",
        declare="global PASSED",
        peek="PASSED['root']",
        ctx="argument",
        args="return (PASSED,), {}",
    ),
    Scope(
        "class attribute",
        (
            "Space.root",
            "Space().root",
            "getattr(Space, 'root')",
            "vars(Space)['root']",
            "SubSpace.root",
            "SubSpace().root",
            "type(Space()).root",
            "super(SubSpace, SubSpace()).root",
            "SubSpace().through()",
            "SubSpace.mine()",
        ),
        (
            "Space.root = $new",
            "setattr(Space, 'root', $new)",
            "type.__setattr__(Space, 'root', $new)",
            "SubSpace.root = $new",
            "SubSpace.__bases__ = (type('Other', (Space,), {'root': $new}),)",
        ),
        ("del Space.root",),
        top="""
class Space:
    def through(self):
        return self.root

    @classmethod
    def mine(cls):
        return cls.root


class SubSpace(Space):
    def through(self):
        return super().through()
""",
        local="Space.root = $build",
        excludes="function",
    ),
    Scope(
        "class in a class",
        ("Outer.Inner.root", "Outer().Inner.root", "getattr(Outer.Inner, 'root')"),
        (
            "Outer.Inner.root = $new",
            "Outer.Inner = type('Inner', (), {'root': $new})",
            "Outer = type('Outer', (), {'Inner': type('Inner', (), {'root': $new})})",
        ),
        ("del Outer.Inner",),
        top="class Outer:\n    class Inner:\n        pass",
        local="Outer.Inner.root = $build",
        declare="global Outer",
        excludes="function",
    ),
    Scope(
        "metaclass",
        ("Space.root", "type(Space).root"),
        ("RootMeta.root = $new", "Space.root = $new"),
        ("del RootMeta.root",),
        top="class RootMeta(type):\n    pass\n\n\nclass Space(metaclass=RootMeta):\n    pass",
        local="RootMeta.root = $build",
        excludes="function",
    ),
    Scope(
        "attribute of a module",
        (
            "settings.root",
            "getattr(settings, 'root')",
            "vars(settings)['root']",
            "sys.modules[__package__ + '.settings'].root",
        ),
        (*_SETTINGS_WRITES, "settings = types.SimpleNamespace(root=$new)"),
        ("del settings.root",),
        top="from . import settings",
        local="settings.root = $build",
        declare="global settings",
        lines=(
            "from .settings import root as $t",
            "from . import settings as here\n$t = here.root",
            "$t = importlib.import_module('.settings', __package__).root",
        ),
        files={"settings.py": _SETTINGS},
    ),
    Scope(
        "attribute of a module in a package",
        ("parts.settings.root", "sys.modules[__package__ + '.parts'].settings.root"),
        (
            "parts.settings.root = $new",
            "parts.settings = types.SimpleNamespace(root=$new)",
            "sys.modules[__package__ + '.parts.settings'].root = $new",
        ),
        ("del parts.settings.root",),
        top="from . import parts\nfrom .parts import settings as _",
        local="parts.settings.root = $build",
        lines=(
            "from .parts.settings import root as $t",
            "from .parts import settings\n$t = settings.root",
        ),
        files={"parts/__init__.py": "", "parts/settings.py": _SETTINGS},
    ),
    Scope(
        "global of a helper module",
        ("settings.get()", "get_root()", "settings.reader.root"),
        _SETTINGS_WRITES,
        ("del settings.root",),
        top="from . import settings\nfrom .settings import get as get_root",
        local="settings.root = $build",
        lines=("from .settings import get\n$t = get()",),
        files={"settings.py": _SETTINGS},
    ),
    Scope(
        "module with __getattr__",
        ("settings.root", "getattr(settings, 'root')"),
        (
            "settings._values['root'] = $new",
            "settings.root = $new",
            "settings.__getattr__ = lambda name, new=$new: new",
        ),
        ("settings._values.clear()",),
        top="from . import settings",
        local="settings._values['root'] = $build",
        lines=("from .settings import root as $t",),
        files={"settings.py": _LAZY_SETTINGS},
    ),
    Scope(
        "builtin",
        ("drawn_root", "builtins.drawn_root", "getattr(builtins, 'drawn_root')"),
        (
            "builtins.drawn_root = $new",
            "globals()['drawn_root'] = $new",
            "vars(builtins)['drawn_root'] = $new",
        ),
        ("vars(builtins).pop('drawn_root', None)",),
        local="builtins.drawn_root = $build",
        close="vars(builtins).pop('drawn_root', None)",
        holds="plain",
        shared=True,
    ),
    Scope(
        "thread-local",
        ("LOCAL.root", "getattr(LOCAL, 'root')", "vars(LOCAL)['root']", "LOCAL.__dict__['root']"),
        ("LOCAL.root = $new", "LOCAL.__dict__['root'] = $new"),
        ("del LOCAL.root",),
        top="LOCAL = threading.local()",
        local="LOCAL.root = $build",
    ),
    Scope(
        "thread-local subclass",
        ("LOCAL.root", "LOCAL.get()"),
        ("LOCAL.root = $new", "LocalSpace.root = $new"),
        top="""
class LocalSpace(threading.local):
    def get(self):
        return self.root


LOCAL = LocalSpace()
""",
        local="LOCAL.root = $build",
    ),
    Scope(
        "context variable",
        ("VARIABLE.get()", "contextvars.copy_context()[VARIABLE]", "VARIABLE.get(1.25)"),
        ("VARIABLE.set($new)",),
        top="VARIABLE = contextvars.ContextVar('root')",
        local="VARIABLE.set($build)",
    ),
    Scope(
        "environment",
        ("environment_value()", "parsed(os.getenv(__name__))", "parsed(os.environ[__name__])"),
        (
            "os.environ[__name__] = str($new)",
            "os.environ.update({__name__: str($new)})",
            "os.putenv(__name__, '9') or os.environ.update({__name__: str($new)})",
        ),
        ("os.environ.pop(__name__, None)",),
        top="""
def parsed(text):
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text


def environment_value():
    return parsed(os.environ.get(__name__, "1.25"))
""",
        local="os.environ[__name__] = str($build)",
        close="os.environ.pop(__name__, None)",
        holds="environment",
    ),
    Scope(
        "partial argument",
        ("fetch_root()", "fetch_root.args[0]"),
        (
            "fetch_root.__setstate__((identity, ($new,), {}, {}))",
            "fetch_root = functools.partial(identity, $new)",
        ),
        local="globals()['fetch_root'] = functools.partial(identity, $build)",
        declare="global fetch_root",
    ),
    Scope(
        "keyword of a partial",
        ("fetch_root()", "fetch_root.keywords['item']"),
        ("fetch_root.keywords['item'] = $new", "fetch_root.keywords.update(item=$new)"),
        local="globals()['fetch_root'] = functools.partial(identity, item=$build)",
    ),
    Scope(
        "self of a bound method",
        ("fetch_root()", "fetch_root.__self__.item", "fetch_root.__func__(fetch_root.__self__)"),
        (
            "fetch_root.__self__.item = $new",
            "fetch_root = Plain($new).get",
            "Plain.get = lambda self, new=$new: new\nfetch_root = Plain(1).get",
        ),
        ("del fetch_root.__self__.item",),
        local="globals()['fetch_root'] = Plain($build).get",
        declare="global fetch_root",
    ),
    Scope(
        "attribute of a function",
        ("fetch_root.root", "fetch_root()", "vars(fetch_root)['root']"),
        ("fetch_root.root = $new", "fetch_root.__dict__['root'] = $new"),
        ("del fetch_root.root",),
        local="def fetch_root():\n    return fetch_root.root\n\n\nfetch_root.root = $build",
    ),
    Scope(
        "attribute of an nn.Module",
        ("model.item", "getattr(model, 'item')", "vars(model)['item']", "model.__dict__['item']"),
        (
            "model.item = $new",
            "setattr(model, 'item', $new)",
            "vars(model)['item'] = $new",
            "model = Holder($new)",
        ),
        ("del model.item",),
        local="globals()['model'] = Holder($build)",
        declare="global model",
    ),
    Scope(
        "buffer of an nn.Module",
        (
            "model.buffer",
            "dict(model.named_buffers())['buffer']",
            "[*model.buffers()][0]",
            "model.state_dict()['buffer']",
        ),
        ("model.register_buffer('buffer', $new)", "model.buffer = $new"),
        ("del model.buffer",),
        local="globals()['model'] = Holder(1.0)\nmodel.register_buffer('buffer', $build)",
        holds="tensor",
    ),
    Scope(
        "parameter of an nn.Module",
        ("model.held", "dict(model.named_parameters())['held']", "[*model.parameters()][0]"),
        ("model.held = nn.Parameter($new)", "model.held.data = $new"),
        ("del model.held",),
        local="globals()['model'] = Holder(1.0)\nmodel.held = nn.Parameter($build)",
        holds="tensor",
    ),
    Scope(
        "child of an nn.Module",
        (
            "model.child",
            "[*model.children()][0]",
            "model.get_submodule('child')",
            "dict(model.named_modules())['child']",
        ),
        ("model.child = $new", "model.add_module('child', $new)"),
        ("del model.child",),
        local="globals()['model'] = Holder(1.0)\nmodel.child = $build",
        holds="module",
    ),
    Scope(
        "option of an optimizer's group",
        (
            "optimizer.param_groups[0]['scale']",
            "optimizer.param_groups[-1].get('scale')",
            "[g['scale'] for g in optimizer.param_groups][0]",
            "{**optimizer.param_groups[0]}['scale']",
            "optimizer.state_dict()['param_groups'][0]['scale']",
        ),
        (
            "optimizer.param_groups[0]['scale'] = $new",
            "optimizer.param_groups[0] = {**optimizer.param_groups[0], 'scale': $new}",
            "optimizer.param_groups = [{**optimizer.param_groups[0], 'scale': $new}]",
            "for group in optimizer.param_groups:\n    group.update(scale=$new)",
        ),
        ("del optimizer.param_groups[0]['scale']",),
        local="optimizer.param_groups[0]['scale'] = $build",
    ),
    Scope(
        "attribute of an optimizer",
        ("optimizer.scale", "vars(optimizer)['scale']", "getattr(optimizer, 'scale')"),
        ("optimizer.scale = $new", "vars(optimizer)['scale'] = $new"),
        ("del optimizer.scale",),
        local="optimizer.scale = $build",
    ),
    Scope(
        "defaults of an optimizer",
        ("optimizer.defaults['scale']",),
        ("optimizer.defaults['scale'] = $new", "optimizer.defaults = {'scale': $new}"),
        local="optimizer.defaults['scale'] = $build",
    ),
    Scope(
        "state of an optimizer",
        ("optimizer.state['scale']['held']", "optimizer.state.get('scale')['held']"),
        (
            "optimizer.state['scale'] = {'held': $new}",
            "optimizer.state['scale']['held'] = $new",
        ),
        ("optimizer.state['scale'].clear()",),
        local="optimizer.state['scale'] = {'held': $build}",
    ),
    Scope(
        "attribute of a scheduler",
        ("scheduler.scale", "vars(scheduler)['scale']", "scheduler.state_dict()['scale']"),
        ("scheduler.scale = $new", "vars(scheduler).update(scale=$new)"),
        ("del scheduler.scale",),
        local="scheduler = minidl.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)\n"
        "scheduler.scale = $build",
    ),
    Scope(
        "attribute of a tensor subclass",
        ("tagged.tag", "vars(tagged)['tag']", "getattr(tagged, 'tag')"),
        ("tagged.tag = $new", "type(tagged).tag = $new\nvars(tagged).pop('tag', None)"),
        ("del tagged.tag",),
        top="class Tag(nn.Parameter):\n    pass",
        local="tagged = Tag(minidl.ones(3))\ntagged.tag = $build",
        excludes="function",
    ),
    Scope(
        "namespace of eval",
        ("eval('root', SPACE)", "eval('[root for _ in range(1)][0]', SPACE)"),
        (
            "SPACE['root'] = $new",
            "exec('root = new', SPACE | {'new': 1}) or SPACE.update(root=$new)",
        ),
        ("del SPACE['root']",),
        top="SPACE = {}",
        local="SPACE['root'] = $build",
    ),
    Scope(
        "frame of a generator",
        ("next(generator)", "generator.send(None)"),
        ("generator.send(($new,))",),
        top="""
def produced(root):
    while True:
        sent = yield root
        if sent is not None:
            (root,) = sent
""",
        local="globals()['generator'] = produced($build)\nnext(generator)",
    ),
    Scope(
        "cache of a function",
        ("cached_root()",),
        ("FRESH[0] = $new\ncached_root.cache_clear()", "FRESH[0] = $new"),
        top="FRESH = [None]\n\n\n@functools.lru_cache\ndef cached_root():\n    return FRESH[0]",
        local="FRESH[0] = $build",
    ),
    Scope(
        "registry of subclasses",
        ("Registry.known['root']", "Registry().find('root')"),
        (
            "type('root', (Registry,), {'made': staticmethod(lambda: None)}).put($new)",
            "Registry.known = {'root': $new}",
        ),
        ("Registry.known.clear()",),
        top="""
class Registry:
    known = {}

    def __init_subclass__(cls):
        cls.known[cls.__name__] = None

    @classmethod
    def put(cls, new):
        cls.known[cls.__name__] = new

    def find(self, name):
        return self.known[name]
""",
        local="Registry.known['root'] = $build",
    ),
)
"""All places, the plainest first."""

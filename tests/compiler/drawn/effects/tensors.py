"""Facts of tensors: memory, gradients, hooks, versions, dtypes."""

from drawn.effects.effect import Effect


def _tensor(name, step, changes, local="", **options):
    return Effect(name, "tensor", step, tuple(changes), local=local, **options)


_FACTS = "t = nn.Parameter(minidl.tensor([1.0, 2.0, 4.0]))"
_CONSTANT = "t = minidl.tensor([1.0, 2.0, 4.0])"

TENSORS = (
    _tensor(
        "requires_grad of a parameter",
        "y = x * t",
        ["t.requires_grad_(k == 0)", "t.requires_grad = k == 0", "t.detach_()"],
        _FACTS,
        train=True,
        state="[t, t.grad]",
    ),
    _tensor(
        "requires_grad that is read",
        "y = x.exp() if t.requires_grad else x.tanh()",
        ["t.requires_grad_(k == 0)"],
        _FACTS,
    ),
    _tensor(
        "requires_grad of what is trained",
        "y = x * t",
        ["t.requires_grad_(k > 0)"],
        _CONSTANT,
        train=True,
        state="[t, t.grad]",
    ),
    _tensor(
        "data",
        "y = x * t",
        [
            "t.data = minidl.tensor([1.0 + k, 7.0, 1.0])",
            "t.data = minidl.tensor([1.0 + k])",
            "t.data.mul_(1.5 + k)",
            "with minidl.no_grad():\n    t.copy_(minidl.full((3,), 1.5 + k))",
            "with minidl.no_grad():\n    t[0] = 5.0 + k",
            "t.detach().add_(1.0)",
            "t.array[0] = 5.0 + k",
            "t.array = t.array * 2",
            "t.data = other.data",
        ],
        _FACTS + "\nother = minidl.tensor([9.0, 8.0, 7.0])",
        state="[t]",
    ),
    _tensor(
        "data of another kind",
        "y = x * t.float()",
        [
            "t = t.double() if k else t.float()",
            "t = minidl.tensor([2.0 + k, 1.0, 1.0], dtype=minidl.float64)",
            "t = t[None] if k == 1 else t.reshape(3)",
            "t = minidl.ones(3, 2).t()[k]",
            "t = minidl.tensor([1, 2, 3 + k])",
            "t = minidl.tensor(2.0 + k)",
        ],
        _CONSTANT,
        declare="t",
    ),
    _tensor(
        "shared memory",
        "with minidl.no_grad():\n    t.add_(1.0)\ny = x * other",
        ["other.data = t.data", "t.data = other.data", "other = t[:]", "other = t.detach()"],
        _CONSTANT + "\nother = minidl.tensor([1.0, 1.0, 2.0])",
        declare="other",
        state="[t, other]",
    ),
    _tensor(
        "a view of what is trained",
        "y = x * view",
        ["view = weight.detach()", "view = weight.data[:]", "weight.data = weight.data * 1.5"],
        "view = minidl.ones(3)",
        declare="view",
        train=True,
    ),
    _tensor(
        "hooks",
        "y = x * t",
        [
            "t.register_hook(lambda g: g * (2.0 + k))",
            "handle.remove()",
            "HANDLES.append(t.register_hook(lambda g: g + k))",
            "t.place.hooks[:] = []",
        ],
        _FACTS + "\nhandle = t.register_hook(lambda g: g * 1.5)",
        top="HANDLES = []",
        train=True,
        state="[t, t.grad]",
    ),
    _tensor(
        "gradient of a parameter",
        "y = x * t",
        [
            "t.grad = None",
            "t.grad = minidl.full((3,), 1.0 + k)",
            "t.grad.zero_()",
            "t.grad = t.grad.detach() * 2",
            "t.grad.data = minidl.full((3,), 1.0 + k)",
        ],
        _FACTS,
        train=True,
        state="[t, t.grad]",
    ),
    _tensor(
        "gradient that is read",
        "y = x * t.detach() * (2.0 if t.grad is None else 3.0)",
        ["t.grad = minidl.ones(3) if k else None"],
        _FACTS,
        state="[t, t.grad]",
    ),
    _tensor(
        "values of a gradient",
        "y = x * t.detach() + (0.0 if t.grad is None else t.grad)",
        ["t.grad = minidl.ones(3) * k", "t.grad = None"],
        _FACTS + "\nt.grad = minidl.ones(3)",
        state="[t, t.grad]",
    ),
    _tensor(
        "version",
        "y = x * (1 + t.version[0])",
        [
            "with minidl.no_grad():\n    t.mul_(1)",
            "t.version[0] = 7 + k",
            "t.version = [5 + k, 0, 0]",
        ],
        _CONSTANT,
    ),
    _tensor(
        "kind that is read",
        "y = x * (1 + t.ndim) * (2.0 if t.dtype == minidl.float32 else 3.0) * (1 + t.shape[-1])",
        [
            "t = minidl.ones(3, dtype=minidl.float64) if k else minidl.ones(3)",
            "t = minidl.ones(3, 2) if k else minidl.ones(3)",
            "t.data = minidl.ones(4 + k)",
        ],
        _CONSTANT,
        declare="t",
    ),
    _tensor(
        "order in memory",
        "y = x * (2.0 if t.is_contiguous() else 3.0)",
        ["t = minidl.ones(3, 2).t() if k else minidl.ones(2, 3)", "t.data = minidl.ones(3, 2).t()"],
        "t = minidl.ones(2, 3)",
        declare="t",
    ),
    _tensor(
        "identity",
        "y = x * (2.0 if t is other else 3.0)",
        ["t = other if k else minidl.ones(3)", "other = t"],
        _CONSTANT + "\nother = minidl.ones(3)",
        declare="t, other",
    ),
    _tensor(
        "type",
        "y = x * (2.0 if isinstance(t, nn.Parameter) else 3.0)",
        ["t = nn.Parameter(t) if k else t.detach()", "t.__class__ = Tag"],
        _CONSTANT,
        declare="t",
        top="class Tag(nn.Parameter):\n    __slots__ = ()",
    ),
    _tensor(
        "method of a subclass",
        "y = x + t.tanh()",
        ["Tag.tanh = lambda self: self.detach() * (2.0 + k)", "Tag.by = 2.0 + k"],
        "t = Tag(minidl.ones(3))",
        top="class Tag(nn.Parameter):\n    by = 1.5\n\n    def tanh(self):\n"
        "        return self.detach() * self.by\n",
    ),
    _tensor(
        "saved and loaded",
        "y = model(x)",
        [
            "model.load_state_dict({n: t * (1.5 + k) for n, t in model.state_dict().items()})",
            "model.state_dict()['weight'].mul_(1.5)",
        ],
        "model = linear(0.5)",
    ),
    _tensor(
        "tied weights",
        "y = second(first(x))",
        [
            "second.weight = first.weight",
            "second.weight.data = first.weight.data",
            "first.weight.data.mul_(1.5)",
            "first.weight = nn.Parameter(second.weight.detach() * 2)",
        ],
        "first, second = linear(0.5), linear(0.25)\n"
        "trained = [weight, *first.parameters(), *second.parameters()]\n"
        "optimizer = minidl.optim.SGD(trained, lr=0.05)",
        train=True,
        state="[*first.parameters(), *second.parameters()]",
    ),
)

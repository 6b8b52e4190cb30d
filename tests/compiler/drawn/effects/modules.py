"""Networks: their flags, options, children, parameters, buffers, methods and hooks."""

from drawn.effects.effect import Effect

_NETWORK = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = linear(0.25)
        self.second = nn.Sequential(nn.Tanh(), linear(0.5))

    def forward(self, x):
        return self.second(self.first(x))
"""


def _network(name, make, changes, step="y = model(x)", **options):
    return Effect(name, "nn.Module", step, tuple(changes), local=f"model = {make}", **options)


NETWORKS = (
    _network(
        "training",
        "nn.Sequential(nn.Dropout(0.5), linear(0.5))",
        [
            "model.eval() if k else model.train()",
            "model[0].training = k == 0",
            "model.training = k == 0",
        ],
    ),
    _network(
        "dropout",
        "nn.Dropout(0.5)",
        ["model.p = (0.5, 0.2, 0.0)[k]", "model.eval()"],
    ),
    _network(
        "batch norm",
        "nn.BatchNorm1d(3)",
        [
            "model.eval() if k else model.train()",
            "model.momentum = (0.1, 0.5, 0.9)[k]",
            "model.eps = (1e-5, 0.1, 1.0)[k]",
            "model.running_mean = minidl.full((3,), 1.0 + k)",
            "model.running_mean.zero_()",
            "model.running_var.data = minidl.full((3,), 2.0 + k)",
            "model.weight.data = minidl.full((3,), 2.0 + k)",
            "model.bias.requires_grad_(k == 0)",
            "model.running_mean = None\nmodel.running_var = None",
            "model.num_batches_tracked.fill_(5)",
        ],
        "y = model(minidl.stack([x, x * 2, x + 1]))[1]",
        state="[*model.state_dict().values()]",
    ),
    _network(
        "layer norm",
        "nn.LayerNorm(3)",
        [
            "model.eps = (1e-5, 0.1, 1.0)[k]",
            "model.weight.data.mul_(1.5)",
            "model.bias = None",
            "model.normalized_shape = (3, 3)[k : k + 1] or (3,)",
        ],
    ),
    _network(
        "leaky",
        "nn.LeakyReLU(0.1)",
        ["model.negative_slope = (0.1, 0.5, 0.9)[k]"],
        "y = model(x - 1.0)",
    ),
    _network(
        "softmax",
        "nn.Softmax(0)",
        ["model.dim = (0, 1)[k > 0]"],
        "y = model(minidl.stack([x, x + 1]))[0]",
    ),
    _network(
        "loss",
        "nn.SmoothL1Loss()",
        ["model.beta = (1.0, 0.5, 2.0)[k]", "model.reduction = ('mean', 'sum', 'mean')[k]"],
        "y = x * model(x, minidl.zeros(3))",
    ),
    _network(
        "children",
        "Net()",
        [
            "model.first = linear(0.75 + k)",
            "model.second[1] = linear(0.75 + k)",
            "model.second.append(nn.Tanh())",
            "model.second.insert(0, nn.Sigmoid())",
            "del model.second[0]",
            "model.second = nn.Identity()",
            "model.first.weight = nn.Parameter(minidl.full((3, 3), 0.5 + k))",
            "model.first.bias = None",
            "model.first.bias.data = minidl.full((3,), 1.0 + k)",
            "setattr(model.second, '0', nn.Sigmoid())",
            "model.second._roles.pop('0')",
            "del model.first",
            "model.first, model.second = model.second, model.first",
        ],
        top=_NETWORK,
    ),
    _network(
        "methods",
        "Net()",
        [
            "Net.forward = lambda self, x: self.first(x) * (1.5 + k)",
            "model.forward = lambda x: x * (1.5 + k)",
            "Net.forward.__code__ = (lambda self, x: self.first(x) * 3.0).__code__",
            "Net.__call__ = lambda self, x: x * (1.5 + k)",
            "model.__class__ = Other if k else Net",
            "model.first.forward = lambda x: x * (1.5 + k)",
            "Net.first = property(lambda self: linear(3.0 + k))",
            "Net.__getattribute__ = lambda s, n: nn.Tanh() if n == 'first' else object"
            ".__getattribute__(s, n)",
            "Net.__bases__ = (Other,)",
        ],
        top=_NETWORK
        + """

class Other(nn.Module):
    def forward(self, x):
        return x * 4.0

    def __call__(self, x):
        return self.forward(x) + 1
""",
    ),
    _network(
        "hooks",
        "Net()\nHANDLE = model.first.register_forward_hook(doubled)",
        [
            "model.register_forward_hook(lambda m, a, r: r * (1.5 + k))",
            "model.first.register_forward_pre_hook(lambda m, a: (a[0] * (1.5 + k),))",
            "HANDLE.remove()",
            "model.second._hooks.clear()",
            "model.second._hooks[:] = [lambda m, a, r: r * (1.5 + k)]",
            "model._pre_hooks.insert(0, lambda m, a: (a[0] + k,))",
            "doubled.__code__ = (lambda m, a, r: r * 7.0).__code__",
        ],
        top=_NETWORK + "\n\ndef doubled(module, args, result):\n    return result * 2.0",
        step="y = model(x)",
        after="",
    ),
    _network(
        "walks",
        "Net()",
        [
            "model.third = linear(1.0)",
            "model.second.append(linear(1.0))",
            "model.first.bias = None",
            "model.register_buffer('extra', minidl.ones(3))",
        ],
        "y = x * len(list(model.parameters())) + sum(p.sum().detach() for p in model.parameters())"
        " + len(model.state_dict()) + len(list(model.modules()))",
        top=_NETWORK,
    ),
    _network(
        "frozen parameters",
        "Net()",
        [
            "model.first.requires_grad_(k == 0)",
            "model.requires_grad_(k == 0)",
            "model.first.weight.requires_grad = k == 0",
        ],
        top=_NETWORK,
        train=True,
        state="[p.grad for p in model.parameters()]",
    ),
    _network(
        "dtype",
        "Net()",
        ["model.double() if k else model.float()", "model.first.weight.data.mul_(1 + k)"],
        "y = model(x.to(model.first.weight.dtype))",
        top=_NETWORK,
    ),
    _network(
        "order of a dict",
        "nn.ModuleDict({'a': nn.Tanh(), 'b': linear(0.5)})",
        ["model['a'] = model.pop('a')", "model['c'] = nn.Sigmoid()", "del model['a']"],
        "y = x\nfor name, layer in model.items():\n    y = layer(y) + len(name)",
    ),
    _network(
        "initialization",
        "linear(0.5)",
        ["nn.init.constant_(model.weight, 0.3 + k)", "nn.init.zeros_(model.bias)"],
    ),
)

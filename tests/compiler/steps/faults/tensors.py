"""Facts of tensors (C2), elements of containers (C3), many of a kind (C7)."""

from types import SimpleNamespace

import minidl
from minidl import nn
from steps.faults.case import after_change, linear, on_rows, one, script, silent


def trained(compile, change, *, outside=False, calls=3, undo=None):
    """A network of two layers in training, a change, training, perhaps a change back."""
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1)

    @compile
    def step(x):
        optimizer.zero_grad()
        loss = model(x).square().sum()
        loss.backward()
        if not outside:
            optimizer.step()
        return loss

    for act in (None, change, undo):
        if act is not None:
            act(model, optimizer)
        for i in range(calls):
            yield step(minidl.tensor([[1.0, i + 1.0]]))
            if outside:
                optimizer.step()
            yield model


def frozen(model, optimizer):
    model[0].requires_grad_(False)


def thawed(model, optimizer):
    model[0].requires_grad_(True)


@silent
def c02_freeze_and_thaw(compile):
    yield from trained(compile, frozen, undo=thawed)


@silent
def c02_freeze_and_thaw_with_the_step_outside(compile):
    yield from trained(compile, frozen, outside=True, undo=thawed)


@silent
def c02_one_bias_is_frozen(compile):
    def change(model, optimizer):
        model[1].bias.requires_grad = False

    yield from trained(compile, change)


@silent
def c02_begun_frozen(compile):
    layer, head = nn.Linear(2, 3), nn.Linear(3, 1)
    layer.requires_grad_(False)
    optimizer = minidl.optim.SGD([*layer.parameters(), *head.parameters()], lr=0.1)

    def step(x):
        optimizer.zero_grad()
        head(layer(x)).sum().backward()
        optimizer.step()

    step = compile(step)
    for i in range(6):
        if i == 3:
            layer.requires_grad_(True)
        step(minidl.tensor([[1.0, i]]))
        yield layer, head


@silent
def c02_parameters_that_require_a_gradient(compile):
    weights = [minidl.tensor([float(k)], requires_grad=True) for k in range(3)]

    def step(x):
        (sum(weights) * x).sum().backward()
        with minidl.no_grad():
            for w in weights:
                if w.requires_grad:
                    w -= 0.1 * w.grad
                    w.grad = None

    step = compile(step)
    for i in range(6):
        if i == 3:
            weights[1].requires_grad = False
        step(one(i))
        yield weights


@silent
def c02_maximize(compile):
    def change(model, optimizer):
        optimizer.param_groups[0]["maximize"] = True

    yield from trained(compile, change)


@silent
def c02_a_parameter_is_popped(compile):
    yield from trained(compile, lambda m, optimizer: optimizer.param_groups[0]["params"].pop())


@silent
def c02_the_parameters_are_replaced(compile):
    def change(model, optimizer):
        optimizer.param_groups[0]["params"] = optimizer.param_groups[0]["params"][:2]

    yield from trained(compile, change)


@silent
def c02_a_hook_comes_and_goes(compile):
    handles = []

    def change(model, optimizer):
        handles.append(model[0].weight.register_hook(lambda g: g * 100))

    yield from trained(compile, change, undo=lambda model, optimizer: handles[0].remove())


@silent
def c03_an_item_of_a_sequential(compile):
    model = nn.Sequential(linear(2))
    yield from after_change(compile, on_rows(model), lambda: model.__setitem__(0, linear(3)))


@silent
def c03_setattr_of_a_sequential(compile):
    model = nn.Sequential(linear(2), linear(1))
    yield from after_change(compile, on_rows(model), lambda: setattr(model, "1", linear(5)))


@silent
def c03_an_item_of_a_module_list(compile):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([linear(2), linear(3)])

        def forward(self, x):
            for layer in self.layers:
                x = layer(x)
            return x

    net = Net()
    yield from after_change(compile, on_rows(net), lambda: net.layers.__setitem__(1, linear(7)))


@silent
def c03_an_item_of_a_module_dict(compile):
    heads = nn.ModuleDict({"a": linear(2)})
    change = lambda: heads.update({"a": linear(9)})  # noqa: E731
    yield from after_change(compile, on_rows(lambda x: heads["a"](x)), change)


@silent
def c03_a_new_head(compile):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(linear(2), nn.ReLU(), linear(3))

        def forward(self, x):
            return self.net(x)

    model = Net()
    yield from after_change(compile, on_rows(model), lambda: model.net.__setitem__(2, linear(8)))


@silent
def c03_getattr_with_a_computed_name(compile):
    holder = SimpleNamespace(w0=1.0, w1=2.0)
    step = lambda x: sum(x * getattr(holder, f"w{i}") for i in range(2))  # noqa: E731
    yield from after_change(compile, step, lambda: setattr(holder, "w1", 20.0))


@silent
def c03_vars(compile):
    holder = SimpleNamespace(k=4.0)
    yield from after_change(
        compile, lambda x: x * vars(holder)["k"], lambda: setattr(holder, "k", 40.0)
    )


@silent
def c03_globals(compile):
    module = script("factor = 4.0\ndef step(x):\n    return x * globals()['factor']\n")
    yield from after_change(compile, module.step, lambda: setattr(module, "factor", 40.0))


@silent
def c07_the_seventieth_weight(compile):
    layers = nn.Sequential(*[linear(1) for _ in range(70)])

    def change():
        layers[69].weight = nn.Parameter(minidl.tensor([[3.0]]))

    yield from after_change(compile, on_rows(layers), change)


@silent
def c07_the_seventieth_dropout(compile):
    layers = nn.Sequential(*[nn.Dropout(0.0) for _ in range(70)])
    yield from after_change(compile, layers, lambda: setattr(layers[69], "p", 1.0))


@silent
def c07_the_seventieth_batch_norm(compile):
    layers = nn.Sequential(*[nn.BatchNorm1d(1) for _ in range(70)])
    step = compile(lambda x: layers(x).detach())
    for i in range(6):
        if i == 3:
            layers[69].eval()
        yield step(minidl.tensor([[1.0], [2.0], [float(i)]]))
        yield layers[69]


@silent
def c07_the_seventieth_hook(compile):
    layers = nn.Sequential(*[nn.ReLU() for _ in range(70)])
    change = lambda: layers[69].register_forward_hook(lambda m, a, y: y * 5)  # noqa: E731
    yield from after_change(compile, layers, change)


@silent
def c07_the_hundredth_object(compile):
    class Scale:
        def __init__(self):
            self.k = 1.0

        def __call__(self, x):
            return x * self.k

    scales = [Scale() for _ in range(100)]

    def step(x):
        for scale in scales:
            x = scale(x)
        return x

    yield from after_change(compile, step, lambda: setattr(scales[99], "k", 4.0))


@silent
def c07_the_hundredth_object_without_a_method(compile):
    scales = [SimpleNamespace(k=1.0) for _ in range(100)]

    def step(x):
        for scale in scales:
            x = x * scale.k
        return x

    yield from after_change(compile, step, lambda: setattr(scales[99], "k", 4.0))

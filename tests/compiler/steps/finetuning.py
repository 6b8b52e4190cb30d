"""Networks that change between calls: frozen layers, new heads, hooks, random depth."""

import copy

import minidl
from minidl import nn
from minidl.nn import functional as F
from steps import helpers
from steps.data import batch, convnet, mlp, normal, pictures
from steps.example import Example, example


def trained_by(compile, model, optimizer):
    """The step that most of these examples have."""

    @compile
    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


@example
def freeze_the_backbone_and_thaw_it(compile):
    model = convnet()
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.05)

    def between(i):
        if i == 3:
            model[0].requires_grad_(False)
        if i == 8:
            model[0].requires_grad_(True)

    step = trained_by(compile, model, optimizer)
    return Example(step, pictures, lambda: [model, optimizer], between=between, calls=12)


@example
def thaw_layer_by_layer_by_name(compile):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Linear(4, 8)
            self.middle = nn.Linear(8, 8)
            self.classifier = nn.Linear(8, 3)

        def forward(self, x):
            return self.classifier(self.middle(self.encoder(x).relu()).relu())

    model = Net()
    for name, param in model.named_parameters():
        param.requires_grad = name.startswith("classifier")
    optimizer = minidl.optim.Adam(model.parameters(), lr=0.01)

    def between(i):
        for name, param in model.named_parameters():
            if (i == 3 and "middle" in name) or (i == 7 and "encoder" in name):
                param.requires_grad = True

    step = trained_by(compile, model, optimizer)
    return Example(step, batch, lambda: [model, optimizer], between=between, calls=12)


@example
def biases_only(compile):
    model = mlp()
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1)

    def between(i):
        if i == 4:
            for name, p in model.named_parameters():
                if not name.endswith("bias"):
                    p.requires_grad_(False)
                    p.grad = None

    step = trained_by(compile, model, optimizer)
    return Example(step, batch, lambda: [model], between=between)


@example
def gradient_step_over_what_requires_a_gradient(compile):
    model = mlp()

    @compile
    def step(x, y):
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        with minidl.no_grad():
            for p in model.parameters():
                if p.requires_grad:
                    p -= 0.1 * p.grad
                    p.grad = None
        return loss

    def between(i):
        if i in (4, 8):
            helpers.toggle_grad(model[0], i == 8)

    return Example(step, batch, lambda: [model], between=between)


@example
def a_new_head(compile):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Sequential(nn.Linear(4, 8), nn.ReLU())
            self.head = nn.Linear(8, 3)

        def forward(self, x):
            return self.head(self.features(x))

    model = Net()
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    def between(i):
        if i == 5:
            model.head = nn.Linear(8, 3)
            optimizer.add_param_group({"params": model.head.parameters(), "lr": 0.5})

    step = trained_by(compile, model, optimizer)
    return Example(step, batch, lambda: [model, optimizer], between=between)


@example
def the_last_layer_of_a_sequential_is_swapped(compile):
    model = mlp()
    optimizer = minidl.optim.SGD(model[0].parameters(), lr=0.1)
    heads = [nn.Linear(8, 3), nn.Linear(8, 3, bias=False)]

    def between(i):
        if i in (3, 7):
            model[2] = heads[i // 4]

    step = trained_by(compile, model, optimizer)
    return Example(step, batch, lambda: [model, optimizer], between=between)


@example
def heads_of_two_tasks_by_name(compile):
    body = nn.Linear(4, 8)
    heads = nn.ModuleDict({"a": nn.Linear(8, 3), "b": nn.Linear(8, 3)})
    optimizer = minidl.optim.SGD([*body.parameters(), *heads.parameters()], lr=0.1)

    @compile
    def step(x, y, task):
        optimizer.zero_grad()
        loss = F.cross_entropy(heads[task](body(x).tanh()), y)
        loss.backward()
        optimizer.step()
        return loss

    def between(i):
        if i == 8:
            heads["b"] = copy.deepcopy(heads["a"])

    return Example(
        step, lambda i: (*batch(i), "ab"[i % 2]), lambda: [body, heads], between=between, calls=12
    )


@example
def adapters_are_added(compile):
    class LoRALinear(nn.Module):
        def __init__(self, base, rank=2, alpha=4):
            super().__init__()
            self.base = base
            self.base.requires_grad_(False)
            self.lora_a = nn.Parameter(minidl.randn(rank, 4) * 0.1)
            self.lora_b = nn.Parameter(minidl.zeros(3, rank))
            self.scaling = alpha / rank
            self.merged = False

        def forward(self, x):
            y = self.base(x)
            if not self.merged:
                y = y + self.scaling * (x @ self.lora_a.T @ self.lora_b.T)
            return y

        def merge(self):
            with minidl.no_grad():
                self.base.weight += self.scaling * (self.lora_b @ self.lora_a)
            self.merged = True

    layer = LoRALinear(nn.Linear(4, 3))
    optimizer = minidl.optim.AdamW([p for p in layer.parameters() if p.requires_grad], lr=0.1)
    train = trained_by(compile, layer, optimizer)
    infer = compile(layer)

    def step(x, y):
        loss = None if layer.merged else train(x, y)
        with minidl.no_grad():
            return loss, infer(x)

    def between(i):
        if i == 7:
            layer.merge()

    return Example(step, batch, lambda: [layer, optimizer], between=between)


@example
def weights_are_loaded_back(compile):
    model = convnet()
    optimizer = minidl.optim.Adam(model.parameters(), lr=0.01)
    saved = {}

    def between(i):
        if i == 3:
            saved["model"] = copy.deepcopy(model.state_dict())
            saved["optimizer"] = copy.deepcopy(optimizer.state_dict())
        if i == 8:
            model.load_state_dict(saved["model"])
            optimizer.load_state_dict(saved["optimizer"])

    step = trained_by(compile, model, optimizer)
    return Example(step, pictures, lambda: [model, optimizer], between=between)


@example
def weights_are_pruned(compile):
    model = mlp()
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    masks = {}

    @compile
    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        with minidl.no_grad():
            for name, p in model.named_parameters():
                if name in masks:
                    p.mul_(masks[name])
        return loss

    def between(i):
        if i == 4:
            for name, p in model.named_parameters():
                if p.dim() > 1:
                    masks[name] = (p.detach().abs() > 0.2).float()

    return Example(step, batch, lambda: [model, masks], between=between)


@example
def dropout_rate_is_annealed(compile):
    model = nn.Sequential(nn.Linear(4, 16), nn.Dropout(0.6), nn.ReLU(), nn.Linear(16, 3))
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1)

    def between(i):
        for module in model.modules():
            if isinstance(module, nn.Dropout) and i % 4 == 3:
                module.p /= 2

    step = trained_by(compile, model, optimizer)
    return Example(step, batch, lambda: [model], between=between, calls=12)


@example
def stochastic_depth(compile):
    class DropPath(nn.Module):
        def __init__(self, drop_prob=0.0):
            super().__init__()
            self.drop_prob = drop_prob

        def forward(self, x):
            if self.drop_prob == 0.0 or not self.training:
                return x
            keep_prob = 1 - self.drop_prob
            shape = (x.shape[0],) + (1,) * (x.ndim - 1)
            mask = (keep_prob + minidl.rand(shape)).floor_()
            return x.div(keep_prob) * mask

    class Block(nn.Module):
        def __init__(self, width, drop_prob):
            super().__init__()
            self.norm = nn.LayerNorm(width)
            self.fc = nn.Linear(width, width)
            self.drop_path = DropPath(drop_prob)

        def forward(self, x):
            return x + self.drop_path(F.gelu(self.fc(self.norm(x))))

    class Net(nn.Module):
        def __init__(self, width=4, depth=3):
            super().__init__()
            rates = [0.3 * k / (depth - 1) for k in range(depth)]
            self.blocks = nn.ModuleList([Block(width, rate) for rate in rates])
            self.head = nn.Linear(width, 3)

        def forward(self, x):
            for block in self.blocks:
                x = block(x)
            return self.head(x)

    model = Net()
    optimizer = minidl.optim.AdamW(model.parameters(), lr=0.01)
    return Example(trained_by(compile, model, optimizer), batch, lambda: [model, optimizer])


@example
def features_by_forward_hooks(compile):
    model = mlp()
    activation = {}

    def get_activation(name):
        def hook(module, inputs, output):
            activation[name] = output.detach()

        return hook

    for name, layer in model.named_children():
        layer.register_forward_hook(get_activation(f"layer{name}"))

    @compile
    def features(x):
        with minidl.no_grad():
            model(x)
        return activation["layer1"].mean(), activation["layer0"]

    return Example(features, lambda i: (normal(i, 6, 4),), lambda: [model, activation])


@example
def a_hook_comes_and_goes(compile):
    model = mlp()
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1)
    handles = []

    def between(i):
        if i == 3:
            handles.append(model[1].register_forward_hook(lambda m, args, y: y * 0.5))
        if i == 8:
            handles.pop().remove()

    step = trained_by(compile, model, optimizer)
    return Example(step, batch, lambda: [model], between=between)


@example
def gradient_reversal_by_a_tensor_hook(compile):
    encoder, classifier, domain = nn.Linear(4, 8), nn.Linear(8, 3), nn.Linear(8, 2)
    parameters = [p for m in (encoder, classifier, domain) for p in m.parameters()]
    optimizer = minidl.optim.SGD(parameters, lr=0.1)
    strength = 0.3

    @compile
    def step(x, y, d):
        features = encoder(x).relu()
        reversed_features = features * 1.0
        reversed_features.register_hook(lambda grad: -strength * grad)
        loss = F.cross_entropy(classifier(features), y)
        loss = loss + F.cross_entropy(domain(reversed_features), d)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return Example(
        step,
        lambda i: (*batch(i), batch(i, classes=2)[1]),
        lambda: [encoder, classifier, domain],
    )


@example
def gradient_hook_on_a_parameter_midway(compile):
    model = mlp()
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1)
    handles = []

    def between(i):
        if i == 4:
            mask = minidl.tensor([[1.0], [0.0], [1.0]])
            handles.append(model[2].weight.register_hook(lambda grad: grad * mask))
        if i == 8:
            handles[0].remove()

    step = trained_by(compile, model, optimizer)
    return Example(step, batch, lambda: [model], between=between)


@example
def layers_looked_up_by_name(compile):
    class Net(nn.Module):
        def __init__(self, widths=(4, 8, 8, 3)):
            super().__init__()
            self.depth = len(widths) - 1
            for k in range(self.depth):
                setattr(self, f"fc{k}", nn.Linear(widths[k], widths[k + 1]))

        def forward(self, x):
            for k in range(self.depth):
                x = getattr(self, f"fc{k}")(x)
                if k < self.depth - 1:
                    x = F.relu(x)
            return x

    model = Net()
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1)

    def between(i):
        if i == 5:
            model.fc1 = nn.Linear(8, 8)

    step = trained_by(compile, model, optimizer)
    return Example(step, batch, lambda: [model], between=between)

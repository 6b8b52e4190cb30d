"""What is kept from call to call: losses, counters, averages, in attributes and lists."""

import math
from collections import defaultdict

import minidl
from minidl import nn
from minidl.nn import functional as F
from steps.data import batch, mlp, normal
from steps.example import Example, example


@example
def trainer_keeps_its_last_loss(compile):
    class Trainer:
        def __init__(self):
            self.net = mlp()
            self.optimizer = minidl.optim.SGD(self.net.parameters(), lr=0.1)
            self.last_loss = None

        def step(self, x, y):
            self.optimizer.zero_grad()
            loss = F.cross_entropy(self.net(x), y)
            loss.backward()
            self.optimizer.step()
            self.last_loss = loss.detach()

    trainer = Trainer()
    return Example(compile(trainer.step), batch, lambda: trainer)


@example
def trainer_appends_losses_inside(compile):
    class Trainer:
        def __init__(self):
            self.net = mlp()
            self.optimizer = minidl.optim.SGD(self.net.parameters(), lr=0.1)
            self.losses = []

        def step(self, x, y):
            loss = F.cross_entropy(self.net(x), y)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.losses.append(loss.detach())

    trainer = Trainer()
    return Example(compile(trainer.step), batch, lambda: trainer, calls=10)


@example
def losses_are_appended_outside(compile):
    model, losses = mlp(), []
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1)

    @compile
    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    def train(x, y):
        losses.append(step(x, y).detach())
        return sum(losses[-3:]) / 3

    return Example(train, batch, lambda: [model, losses])


@example
def average_meters_inside(compile):
    class AverageMeter:
        def __init__(self, name):
            self.name = name
            self.reset()

        def reset(self):
            self.val, self.avg, self.sum, self.count = 0, 0, 0, 0

        def update(self, val, n=1):
            self.val = val
            self.sum += val * n
            self.count += n
            self.avg = self.sum / self.count

    model = mlp()
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1)
    losses, top1 = AverageMeter("Loss"), AverageMeter("Acc")

    @compile
    def step(images, target):
        output = model(images)
        loss = F.cross_entropy(output, target)
        losses.update(loss.detach(), images.size(0))
        top1.update((output.argmax(1) == target).float().mean(), images.size(0))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def between(i):
        if i % 5 == 4:
            losses.reset()
            top1.reset()

    return Example(step, batch, lambda: [model, losses, top1], between=between)


@example
def average_meter_of_numbers_outside(compile):
    model = mlp()
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1)
    meters = defaultdict(float)

    @compile
    def step(x, y):
        output = model(x)
        loss = F.cross_entropy(output, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return {"loss": loss, "correct": (output.argmax(1) == y).sum()}

    def train(x, y):
        logs = step(x, y)
        for name, value in logs.items():
            meters[name] = 0.9 * meters[name] + 0.1 * value.item()
        return dict(meters)

    return Example(train, batch, lambda: [model, meters])


@example
def running_average_in_python_floats_inside(compile):
    class Trainer:
        def __init__(self):
            self.model = mlp()
            self.optimizer = minidl.optim.SGD(self.model.parameters(), lr=0.1)
            self.avg_size = 0.0
            self.beta = 0.9

        def step(self, x, y):
            loss = F.cross_entropy(self.model(x), y)
            self.avg_size = self.beta * self.avg_size + (1 - self.beta) * len(x)
            self.optimizer.zero_grad()
            (loss * (len(x) / self.avg_size)).backward()
            self.optimizer.step()
            return loss

    trainer = Trainer()
    return Example(compile(trainer.step), batch, lambda: trainer)


@example
def callbacks_with_state(compile):
    class Callback:
        def on_batch_end(self, runner):
            pass

    class Recorder(Callback):
        def __init__(self):
            self.count = 0

        def on_batch_end(self, runner):
            self.count += 1
            runner.history["count"].append(self.count)

    class Runner:
        def __init__(self, callbacks):
            self.model = mlp()
            self.opt = minidl.optim.SGD(self.model.parameters(), lr=0.1)
            self.callbacks = callbacks
            self.history = defaultdict(list)

        def __call__(self, x, y):
            self.loss = F.cross_entropy(self.model(x), y)
            self.loss.backward()
            self.opt.step()
            self.opt.zero_grad()
            for callback in self.callbacks:
                callback.on_batch_end(self)

    runner = Runner([Recorder(), Callback()])
    return Example(compile(runner), batch, lambda: [vars(runner)], calls=10)


@example
def module_that_counts_its_calls(compile):
    class WarmUp(nn.Module):
        def __init__(self, inner, steps=4):
            super().__init__()
            self.inner = inner
            self.steps = steps
            self.n = 0

        def forward(self, x):
            self.n += 1
            return self.inner(x) * min(1.0, self.n / self.steps)

    model = WarmUp(mlp())
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1)

    @compile
    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return Example(step, batch, lambda: [model])


@example
def module_that_keeps_its_attention(compile):
    class Attention(nn.Module):
        def __init__(self, dim=4):
            super().__init__()
            self.qkv = nn.Linear(dim, 3 * dim, bias=False)
            self.attn = None

        def forward(self, x):
            q, k, v = self.qkv(x).chunk(3, dim=-1)
            self.attn = (q @ k.transpose(-2, -1) * q.size(-1) ** -0.5).softmax(-1)
            return self.attn @ v

    model = Attention()

    @compile
    def forward(x):
        with minidl.no_grad():
            return model(x)

    return Example(forward, lambda i: (normal(i, 2, 5, 4),), lambda: [model])


@example
def auxiliary_loss_in_an_attribute(compile):
    class SparseLayer(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 8)
            self.penalty = 0.0

        def forward(self, x):
            h = self.fc(x).sigmoid()
            self.penalty = (h.mean(0) - 0.1).square().sum()
            return h

    layer, head = SparseLayer(), nn.Linear(8, 3)
    optimizer = minidl.optim.SGD([*layer.parameters(), *head.parameters()], lr=0.1)

    @compile
    def step(x, y):
        loss = F.cross_entropy(head(layer(x)), y) + 0.5 * layer.penalty
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return Example(step, batch, lambda: [layer, head])


@example
def early_stopping_outside(compile):
    class EarlyStopping:
        def __init__(self, patience=2):
            self.patience, self.best, self.bad, self.stop = patience, math.inf, 0, False

        def __call__(self, value):
            self.bad = 0 if value < self.best else self.bad + 1
            self.best = min(self.best, value)
            self.stop = self.stop or self.bad > self.patience

    class Trainer:
        def __init__(self):
            self.model = mlp()
            self.optimizer = minidl.optim.SGD(self.model.parameters(), lr=0.5)
            self.stopper = EarlyStopping()
            self.best = None
            self.train_step = compile(self.train_step)

        def train_step(self, x, y):
            self.optimizer.zero_grad()
            loss = F.cross_entropy(self.model(x), y)
            loss.backward()
            if not self.stopper.stop:
                self.optimizer.step()
            return loss

        def fit(self, x, y):
            loss = self.train_step(x, y)
            self.stopper(loss.item())
            if self.stopper.bad == 0:
                self.best = {k: v.clone() for k, v in self.model.state_dict().items()}
            return loss

    trainer = Trainer()
    return Example(trainer.fit, batch, lambda: trainer, calls=12)

"""What a step changes itself (C5), and optimizers that its code reads (C6)."""

import minidl
from minidl import nn
from minidl.optim import lr_scheduler
from steps.faults.case import after_change, linear, one, silent


@silent
def c05_a_module_counts(compile):
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.n = 0

        def forward(self, x):
            self.n += 1
            self.seen = x * 2
            return x * 100 if self.n > 3 else x * 1

    module = Counting()
    step = compile(module)
    for i in range(6):
        yield step(one(i)), module


@silent
def c05_every_fourth_call(compile):
    class Switch(nn.Module):
        def __init__(self):
            super().__init__()
            self.n = 0

        def forward(self, x):
            self.n = (self.n + 1) % 4
            return x * 10 if self.n == 0 else x

    module = Switch()
    step = compile(lambda x: module(x) + 1)
    for i in range(9):
        yield step(one(i)), module


@silent
def c05_attention_for_later(compile):
    class Attention(nn.Module):
        def forward(self, x):
            self.attn = x.softmax(0)
            return self.attn * x

    module = Attention()
    step = compile(module)
    for i in range(6):
        yield step(minidl.tensor([1.0, float(i)])), module


@silent
def c05_a_loss_that_is_read_outside(compile):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = linear(2)

        def forward(self, x):
            self.aux = (self.fc(x) ** 2).mean()
            return self.aux

    net = Net()
    optimizer = minidl.optim.SGD(net.parameters(), lr=0.01)

    @compile
    def step(x):
        optimizer.zero_grad()
        net(x.reshape(1, 1)).backward()
        optimizer.step()

    for i in range(6):
        step(one(i))
        yield net


@silent
def c05_a_running_average(compile):
    class Average(nn.Module):
        def __init__(self):
            super().__init__()
            self.average = 0.0

        def forward(self, x):
            self.average = 0.5 * self.average + 0.5 * len(x)
            return x

    module = Average()
    step = compile(module)
    for i in range(6):
        yield step(one(i)), module


@silent
def c05_a_list_in_a_module(compile):
    class Keeping(nn.Module):
        def __init__(self):
            super().__init__()
            self.kept = []

        def forward(self, x):
            self.kept.append(x * 2)
            return x

    module = Keeping()
    step = compile(module)
    for i in range(6):
        yield step(one(i)), module


def optimized(w, lr=1.0):
    return minidl.optim.SGD([w], lr=lr)


@silent
def c06_a_learning_rate_is_read(compile):
    optimizer = optimized(one().requires_grad_())
    yield from after_change(
        compile,
        lambda x: x * optimizer.param_groups[0]["lr"],
        lambda: optimizer.param_groups[0].update(lr=0.1),
    )


@silent
def c06_weight_decay_by_hand(compile):
    p = nn.Parameter(one(2))
    optimizer = optimized(p, 0.1)
    schedule = lr_scheduler.StepLR(optimizer, 3, 0.1)

    @compile
    def step():
        with minidl.no_grad():
            p.mul_(1 - optimizer.param_groups[0]["lr"] * 0.5)

    for _ in range(9):
        step()
        yield p
        schedule.step()


@silent
def c06_gradient_steps_by_hand(compile):
    p = nn.Parameter(one(2))
    optimizer = optimized(p, 0.1)

    @compile
    def step(x):
        optimizer.zero_grad()
        (p * x).sum().backward()
        with minidl.no_grad():
            for group in optimizer.param_groups:
                for q in group["params"]:
                    q -= group["lr"] * q.grad

    for i in range(8):
        if i == 4:
            optimizer.param_groups[0]["lr"] = 10.0
        step(one(i))
        yield p


@silent
def c06_a_schedule_is_asked(compile):
    optimizer = optimized(one().requires_grad_())
    schedule = lr_scheduler.StepLR(optimizer, 3, 0.5)
    step = compile(lambda x: (x * schedule.get_last_lr()[0], x + schedule.last_epoch))
    for i in range(8):
        yield step(one(i))
        schedule.step()


@silent
def c06_an_epoch_is_asked(compile):
    optimizer = optimized(one().requires_grad_())
    schedule = lr_scheduler.StepLR(optimizer, 3, 0.5)
    step = compile(lambda x: x * 2 if schedule.last_epoch < 4 else x * 3)
    for i in range(8):
        yield step(one(i))
        schedule.step()


class Lion(minidl.optim.Optimizer):
    """An optimizer of the user's."""

    def __init__(self, params, lr=0.1, beta=0.9):
        super().__init__(params, {"lr": lr, "beta": beta})
        self.t = 0

    @minidl.no_grad()
    def step(self, closure=None):
        self.t += 1
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                if not state:
                    state["m"] = minidl.zeros_like(p)
                state["m"].mul_(group["beta"]).add_(p.grad * (1 - group["beta"]))
                p.sub_(group["lr"] * state["m"].sign())


@silent
def c06_an_optimizer_of_the_users(compile):
    w = nn.Parameter(one(3))
    optimizer = Lion([w])

    @compile
    def step(x):
        optimizer.zero_grad()
        (w * x).square().sum().backward()
        optimizer.step()

    for i in range(8):
        if i in (3, 6):
            optimizer.param_groups[0]["lr"] = 0.0 if i == 6 else 0.01
        step(one(i + 1))
        yield w, optimizer.t


@silent
def c06_an_optimizer_of_the_users_under_a_schedule(compile):
    w = nn.Parameter(one(3))
    optimizer = Lion([w])
    schedule = lr_scheduler.StepLR(optimizer, 3, 0.1)

    @compile
    def step(x):
        optimizer.zero_grad()
        (w * x).square().sum().backward()
        optimizer.step()

    for i in range(9):
        step(one(i + 1))
        schedule.step()
        yield w


@silent
def c06_rates_are_halved_inside(compile):
    w = nn.Parameter(one(3))
    optimizer = optimized(w)

    @compile
    def step(x):
        optimizer.zero_grad()
        (w * x).sum().backward()
        optimizer.step()
        for group in optimizer.param_groups:
            group["lr"] *= 0.5

    for _ in range(6):
        step(one())
        yield w, optimizer.param_groups[0]["lr"]

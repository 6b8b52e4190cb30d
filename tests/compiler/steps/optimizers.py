"""Optimizers: schedules, groups, updates by hand, optimizers of the user's own."""

import math

import minidl
from minidl import nn
from minidl.nn import functional as F
from minidl.optim import lr_scheduler
from steps import helpers
from steps.data import batch, integers, mlp, normal
from steps.example import Example, example


@example
def schedule_inside(compile):
    model = mlp()
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.2, momentum=0.9, nesterov=True)
    scheduler = lr_scheduler.CosineAnnealingLR(optimizer, T_max=10)

    @compile
    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        scheduler.step()
        return loss

    return Example(step, batch, lambda: [model, optimizer, scheduler])


@example
def one_cycle_inside_with_momentum(compile):
    model = mlp()
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scheduler = lr_scheduler.OneCycleLR(optimizer, max_lr=0.4, total_steps=14)

    @compile
    def step(x, y):
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        return loss

    return Example(step, batch, lambda: [model, optimizer])


@example
def schedule_is_asked_inside(compile):
    model = mlp()
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.2)
    scheduler = lr_scheduler.StepLR(optimizer, step_size=3, gamma=0.5)

    @compile
    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        with minidl.no_grad():
            for p in model.parameters():
                p.mul_(1 - scheduler.get_last_lr()[0] * 0.01)
        return loss, scheduler.get_last_lr()[0]

    return Example(step, batch, lambda: [model], between=lambda i: scheduler.step())


@example
def warm_up_by_lambda_outside(compile):
    model = mlp()
    optimizer = minidl.optim.AdamW(model.parameters(), lr=0.02, weight_decay=0.05)
    scheduler = lr_scheduler.LambdaLR(optimizer, lambda epoch: min(1.0, (epoch + 1) / 5))

    @compile
    def step(x, y):
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return Example(
        step, batch, lambda: [model, optimizer], between=lambda i: scheduler.step(), calls=10
    )


@example
def plateau_outside(compile):
    model = mlp()
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.5)
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1)

    @compile
    def step(x, y):
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    def train(x, y):
        loss = step(x, y)
        scheduler.step(loss.item())
        return loss, optimizer.param_groups[0]["lr"]

    return Example(train, batch, lambda: [model, optimizer])


@example
def cosine_by_math_with_the_step_as_an_argument(compile):
    model = mlp()
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.2)

    @compile
    def step(x, y, it):
        helpers.set_lr(optimizer, helpers.cosine(0.2, it, 10))
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return Example(step, lambda i: (*batch(i), i), lambda: [model, optimizer])


@example
def noam_rate_by_a_counter_inside(compile):
    class NoamOpt:
        def __init__(self, model_size, factor, warmup, optimizer):
            self.optimizer = optimizer
            self._step = 0
            self.warmup, self.factor, self.model_size = warmup, factor, model_size
            self._rate = 0

        def step(self):
            self._step += 1
            rate = self.rate()
            for p in self.optimizer.param_groups:
                p["lr"] = rate
            self._rate = rate
            self.optimizer.step()

        def rate(self):
            step = self._step
            arrival = min(step ** (-0.5), step * self.warmup ** (-1.5))
            return self.factor * self.model_size ** (-0.5) * arrival

    model = mlp()
    opt = NoamOpt(8, 0.5, 4, minidl.optim.Adam(model.parameters(), 0, (0.9, 0.98), 1e-9))

    @compile
    def step(x, y):
        opt.optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        opt.step()
        return loss

    return Example(step, batch, lambda: [model, opt, opt._step, opt._rate])


@example
def groups_with_and_without_decay(compile):
    model = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 3))
    decay = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = minidl.optim.AdamW(
        [{"params": decay, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}], lr=0.01
    )

    @compile
    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    def between(i):
        optimizer.param_groups[0]["lr"] *= 0.9
        if i == 5:
            optimizer.param_groups[1]["lr"] = 0.0
            optimizer.param_groups[1]["weight_decay"] = 0.02

    return Example(step, batch, lambda: [model, optimizer], between=between)


@example
def a_parameter_leaves_its_group(compile):
    model = mlp()
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1, momentum=0.5)

    @compile
    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    def between(i):
        if i == 4:
            optimizer.param_groups[0]["params"] = list(model[0].parameters())
        if i == 8:
            optimizer.param_groups[0]["maximize"] = True

    return Example(step, batch, lambda: [model, optimizer], between=between)


@example
def two_optimizers_for_two_parts(compile):
    table = nn.Parameter(minidl.randn(10, 4))
    model = mlp()
    optimizers = [minidl.optim.SGD([table], lr=0.5), minidl.optim.Adam(model.parameters(), 0.01)]

    @compile
    def step(words, y):
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss = F.cross_entropy(model(table[words].mean(1)), y)
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        return loss

    return Example(
        step,
        lambda i: (integers(i, 10, 6, 3), integers(i, 3, 6)),
        lambda: [table, model, optimizers],
    )


@example
def weight_decay_by_hand(compile):
    model = mlp()
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1)
    scheduler = lr_scheduler.ExponentialLR(optimizer, 0.8)
    wd = 0.05

    @compile
    def step(x, y):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        for group in optimizer.param_groups:
            for p in group["params"]:
                p.data.mul_(1 - group["lr"] * wd)
        optimizer.step()

    return Example(step, batch, lambda: [model, optimizer], between=lambda i: scheduler.step())


@example
def sgd_by_hand_under_no_grad(compile):
    w1 = minidl.randn(4, 8, requires_grad=True)
    b1 = minidl.zeros(8, requires_grad=True)
    w2 = minidl.randn(8, 1, requires_grad=True)
    learning_rate = 1e-2

    @compile
    def step(x, y):
        y_pred = (x.mm(w1) + b1).clamp(min=0).mm(w2)
        loss = (y_pred - y).pow(2).sum()
        loss.backward()
        with minidl.no_grad():
            for w in (w1, b1, w2):
                w -= learning_rate * w.grad
                w.grad.zero_()
        return loss

    return Example(step, lambda i: (normal(i, 6, 4), normal(i, 6, 1)), lambda: [w1, b1, w2])


@example
def sgd_by_hand_through_data(compile):
    model = mlp()
    hyper = {"lr": 0.1, "decay": 0.01}

    @compile
    def step(x, y):
        loss = F.cross_entropy(model(x), y)
        model.zero_grad()
        loss.backward()
        for p in model.parameters():
            p.data = p.data - hyper["lr"] * (p.grad.data + hyper["decay"] * p.data)
        return loss

    def between(i):
        if i == 6:
            hyper["lr"] = 0.01

    return Example(step, batch, lambda: [model, hyper], between=between)


@example
def lion(compile):
    class Lion(minidl.optim.Optimizer):
        def __init__(self, params, lr=1e-2, betas=(0.9, 0.99), weight_decay=0.0):
            super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

        @minidl.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is None:
                        continue
                    p.data.mul_(1 - group["lr"] * group["weight_decay"])
                    state = self.state[p]
                    if len(state) == 0:
                        state["exp_avg"] = minidl.zeros_like(p)
                    exp_avg = state["exp_avg"]
                    beta1, beta2 = group["betas"]
                    update = exp_avg * beta1 + p.grad * (1 - beta1)
                    p.add_(update.sign(), alpha=-group["lr"])
                    exp_avg.mul_(beta2).add_(p.grad, alpha=1 - beta2)

    model = mlp()
    optimizer = Lion(model.parameters(), weight_decay=0.1)
    scheduler = lr_scheduler.StepLR(optimizer, 4, 0.3)

    @compile
    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return Example(step, batch, lambda: [model, optimizer], between=lambda i: scheduler.step())


@example
def adam_of_the_users_with_a_step_counter(compile):
    class MyAdam(minidl.optim.Optimizer):
        def __init__(self, params, lr=0.01, beta1=0.9, beta2=0.999, eps=1e-8):
            super().__init__(params, {"lr": lr, "beta1": beta1, "beta2": beta2, "eps": eps})
            self.t = 0

        def step(self, closure=None):
            self.t += 1
            with minidl.no_grad():
                for group in self.param_groups:
                    for p in filter(lambda p: p.grad is not None, group["params"]):
                        self._one(p, self.state[p], group)

        def _one(self, p, state, group):
            if not state:
                state.update(m=minidl.zeros_like(p), v=minidl.zeros_like(p), step=0)
            state["step"] += 1
            state["m"].mul_(group["beta1"]).add_(p.grad * (1 - group["beta1"]))
            state["v"].mul_(group["beta2"]).add_(p.grad * p.grad * (1 - group["beta2"]))
            m = state["m"] / (1 - group["beta1"] ** state["step"])
            v = state["v"] / (1 - group["beta2"] ** self.t)
            p.sub_(group["lr"] * m / (v.sqrt() + group["eps"]))

    model = mlp()
    optimizer = MyAdam(model.parameters())

    @compile
    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return Example(step, batch, lambda: [model, optimizer])


@example
def clipping_by_norm_with_the_norm_returned(compile):
    model = mlp()
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    @compile
    def step(x, y, max_norm=0.3):
        optimizer.zero_grad(set_to_none=False)
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        optimizer.step()
        return loss, norm

    return Example(step, batch, lambda: [model, optimizer])


@example
def clipping_by_value(compile):
    model = mlp()
    optimizer = minidl.optim.Adam(model.parameters(), lr=0.01, amsgrad=True)

    @compile
    def step(x, y):
        model.zero_grad()
        F.cross_entropy(model(x), y).backward()
        nn.utils.clip_grad_value_(model.parameters(), clip_value=0.05)
        optimizer.step()

    return Example(step, batch, lambda: [model, optimizer])


@example
def gradient_noise_and_centering(compile):
    model = mlp()
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1)
    eta = 0.3

    @compile
    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        with minidl.no_grad():
            for p in model.parameters():
                if p.ndim > 1:
                    p.grad.sub_(p.grad.mean(1, keepdim=True))
                p.grad.add_(math.sqrt(eta) * 0.01 * minidl.randn_like(p.grad))
        optimizer.step()
        return loss

    return Example(step, batch, lambda: [model])


@example
def sharpness_aware_minimization(compile):
    model = mlp()
    base = minidl.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    rho = 0.05

    @compile
    def step(x, y):
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        with minidl.no_grad():
            norms = [p.grad.norm(p=2) for p in model.parameters()]
            scale = rho / (minidl.stack(norms).norm(p=2) + 1e-12)
            shifts = []
            for p in model.parameters():
                e_w = p.grad * scale
                p.add_(e_w)
                shifts.append(e_w)
        base.zero_grad()
        F.cross_entropy(model(x), y).backward()
        with minidl.no_grad():
            for p, e_w in zip(model.parameters(), shifts):
                p.sub_(e_w)
        base.step()
        base.zero_grad()
        return loss

    return Example(step, batch, lambda: [model, base])


@example
def lookahead_every_third_call(compile):
    class Lookahead:
        def __init__(self, optimizer, k=3, alpha=0.5):
            self.optimizer, self.k, self.alpha, self.counter = optimizer, k, alpha, 0
            params = [p for group in optimizer.param_groups for p in group["params"]]
            self.pairs = [(p, p.detach().clone()) for p in params]

        def step(self):
            self.optimizer.step()
            self.counter += 1
            if self.counter % self.k == 0:
                with minidl.no_grad():
                    for fast, slow in self.pairs:
                        slow.add_(self.alpha * (fast - slow))
                        fast.copy_(slow)

    model = mlp()
    optimizer = Lookahead(minidl.optim.Adam(model.parameters(), lr=0.02))

    @compile
    def step(x, y):
        model.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()

    return Example(step, batch, lambda: [model, optimizer])


@example
def closure_for_the_optimizer(compile):
    model = mlp()
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1)

    @compile
    def step(x, y):
        def closure():
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            return loss

        return optimizer.step(closure)

    return Example(step, batch, lambda: [model])


@example
def several_steps_per_call(compile):
    model = mlp()
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    inner_steps = 3

    @compile
    def step(x, y):
        total = 0.0
        for _ in range(inner_steps):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            total += loss.detach()
        return total / inner_steps

    def between(i):
        nonlocal inner_steps
        if i == 6:
            inner_steps = 2

    return Example(step, batch, lambda: [model, optimizer], between=between)


@example
def from_adam_to_sgd_midway(compile):
    class Trainer:
        def __init__(self):
            self.model = mlp()
            self.opt = minidl.optim.Adam(self.model.parameters(), lr=0.01)

        def step(self, x, y):
            self.opt.zero_grad()
            loss = F.cross_entropy(self.model(x), y)
            loss.backward()
            self.opt.step()
            return loss

    trainer = Trainer()

    def between(i):
        if i == 5:
            trainer.opt = minidl.optim.SGD(trainer.model.parameters(), lr=0.1, momentum=0.9)

    return Example(compile(trainer.step), batch, lambda: trainer, between=between)

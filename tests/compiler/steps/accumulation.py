"""Gradients of several calls added up, and averages of weights."""

import copy

import minidl
from minidl import nn
from minidl.nn import functional as F
from steps import helpers
from steps.data import batch, convnet, mlp, pictures
from steps.example import Example, example


@example
def accumulation_every_second_call_outside(compile):
    model = mlp()
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1)

    @compile
    def forward_backward(x, y):
        loss = F.cross_entropy(model(x), y) / 2
        loss.backward()
        return loss

    def between(i):
        if (i + 1) % 2 == 0:
            optimizer.step()
            optimizer.zero_grad()

    return Example(forward_backward, batch, lambda: [model], between=between, calls=12)


@example
def accumulation_every_fourth_call_outside(compile):
    model = mlp()
    optimizer = minidl.optim.Adam(model.parameters(), lr=0.02)
    accumulation_steps = 4

    @compile
    def forward_backward(x, y):
        loss = F.cross_entropy(model(x), y) / accumulation_steps
        loss.backward()
        return loss.detach()

    def between(i):
        if (i + 1) % accumulation_steps == 0:
            optimizer.step()
            model.zero_grad()

    return Example(forward_backward, batch, lambda: [model, optimizer], between=between, calls=14)


@example
def accumulation_into_zeros_outside(compile):
    model = mlp()
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1)

    @compile
    def forward_backward(x, y):
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        return loss

    def between(i):
        if i % 3 == 2:
            optimizer.step()
            optimizer.zero_grad(set_to_none=False)

    return Example(forward_backward, batch, lambda: [model], between=between)


@example
def accumulation_by_a_flag(compile):
    model = mlp()
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    @compile
    def step(x, y, last):
        loss = F.cross_entropy(model(x), y) / 3
        loss.backward()
        if last:
            optimizer.step()
            optimizer.zero_grad()
        return loss

    return Example(step, lambda i: (*batch(i), i % 3 == 2), lambda: [model, optimizer], calls=12)


@example
def accumulation_by_a_flag_into_zeros(compile):
    model = mlp()
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1)

    @compile
    def step(x, y, *, update=True):
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        if update:
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=False)
        return loss

    def kwargs(i):
        return {} if i % 2 else {"update": False}

    return Example(step, batch, lambda: [model], kwargs=kwargs, calls=12)


@example
def accumulation_by_a_counter_inside(compile):
    class Trainer:
        def __init__(self, every=3):
            self.model = mlp()
            self.optimizer = minidl.optim.SGD(self.model.parameters(), lr=0.1)
            self.every = every
            self.micro_step = 0

        def step(self, x, y):
            loss = F.cross_entropy(self.model(x), y) / self.every
            loss.backward()
            self.micro_step += 1
            if self.micro_step % self.every == 0:
                self.optimizer.step()
                self.optimizer.zero_grad()
            return loss

    trainer = Trainer()
    return Example(compile(trainer.step), batch, lambda: trainer)


@example
def accumulation_by_the_batch_index(compile):
    model = convnet()
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.05)
    iters_to_accumulate = 2

    @compile
    def step(i, x, y):
        loss = F.cross_entropy(model(x), y) / iters_to_accumulate
        loss.backward()
        if (i + 1) % iters_to_accumulate == 0:
            optimizer.step()
            optimizer.zero_grad()
        return loss

    return Example(step, lambda i: (i, *pictures(i)), lambda: [model])


@example
def micro_batches_within_a_call(compile):
    model = mlp()
    optimizer = minidl.optim.AdamW(model.parameters(), lr=0.01)

    @compile
    def step(x, y):
        optimizer.zero_grad()
        total = minidl.zeros(())
        chunks = list(zip(x.chunk(3), y.chunk(3)))
        for micro_x, micro_y in chunks:
            loss = F.cross_entropy(model(micro_x), micro_y) / len(chunks)
            loss.backward()
            total += loss.detach()
        optimizer.step()
        return total

    return Example(step, batch, lambda: [model, optimizer])


# --------------------------------------------------------------------------- averages


@example
def average_of_weights_in_a_list(compile):
    class EMA:
        def __init__(self, parameters, decay):
            self.parameters = list(parameters)
            self.decay = decay
            self.shadow = [p.detach().clone() for p in self.parameters]
            self.backup = []

        def update(self):
            with minidl.no_grad():
                for s, p in zip(self.shadow, self.parameters):
                    s.sub_((1.0 - self.decay) * (s - p))

        def store(self):
            self.backup = [p.detach().clone() for p in self.parameters]
            for s, p in zip(self.shadow, self.parameters):
                p.data.copy_(s.data)

        def restore(self):
            for b, p in zip(self.backup, self.parameters):
                p.data.copy_(b.data)

    model = mlp()
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1)
    ema = EMA(model.parameters(), 0.9)

    @compile
    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        ema.update()
        return loss

    @compile
    def evaluate(x):
        with minidl.no_grad():
            return model(x).argmax(1)

    def both(x, y):
        loss = step(x, y)
        ema.store()
        prediction = evaluate(x)
        ema.restore()
        return loss, prediction

    return Example(both, batch, lambda: [model, ema.shadow])


@example
def average_of_weights_in_a_copied_module(compile):
    model = convnet()
    ema_model = copy.deepcopy(model)
    for param in ema_model.parameters():
        param.detach_()
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1)

    @minidl.no_grad()
    def update_ema(alpha):
        for ema_param, param in zip(ema_model.parameters(), model.parameters()):
            ema_param.data.mul_(alpha).add_(param.data, alpha=1 - alpha)
        for ema_buffer, buffer in zip(ema_model.buffers(), model.buffers()):
            ema_buffer.copy_(buffer)

    @compile
    def step(x, y):
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        update_ema(0.95)
        return loss

    return Example(step, pictures, lambda: [model, ema_model])


@example
def average_of_weights_in_a_dict_with_a_growing_decay(compile):
    class EMA:
        def __init__(self, model, mu):
            self.mu = mu
            self.num_updates = 0
            self.shadow = {name: p.detach().clone() for name, p in model.named_parameters()}

        def __call__(self, model):
            self.num_updates += 1
            mu = min(self.mu, (1.0 + self.num_updates) / (10.0 + self.num_updates))
            for name, param in model.named_parameters():
                new = (1.0 - mu) * param.detach() + mu * self.shadow[name]
                self.shadow[name] = new.clone()

    model = mlp()
    ema = EMA(model, 0.4)
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1)

    @compile
    def step(x, y):
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        ema(model)
        return loss

    return Example(step, batch, lambda: [model, ema.shadow, ema.num_updates])


@example
def stochastic_weight_averaging(compile):
    class AveragedModel(nn.Module):
        def __init__(self, model):
            super().__init__()
            self.module = copy.deepcopy(model)
            self.register_buffer("n_averaged", minidl.tensor(0, dtype=minidl.float32))

        def update_parameters(self, model):
            with minidl.no_grad():
                for avg, p in zip(self.module.parameters(), model.parameters()):
                    avg.copy_(avg + (p - avg) / (self.n_averaged + 1))
                self.n_averaged += 1

    model = mlp()
    swa_model = AveragedModel(model)
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.2)

    @compile
    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    update = compile(lambda: swa_model.update_parameters(model))

    def train(x, y, i):
        loss = step(x, y)
        if i >= 2:
            update()
        return loss

    return Example(train, lambda i: (*batch(i), i), lambda: [model, swa_model])


@example
def mean_teacher_with_a_ramp(compile):
    student, teacher = mlp(), mlp()
    helpers.toggle_grad(teacher, False)
    optimizer = minidl.optim.SGD(student.parameters(), lr=0.1)
    state = {"consistency": 0.0}

    @compile
    def step(x, y, unlabeled):
        noisy = unlabeled + 0.1 * minidl.randn_like(unlabeled)
        with minidl.no_grad():
            target = teacher(unlabeled).softmax(1)
        loss = F.cross_entropy(student(x), y)
        consistency = F.mse_loss(student(noisy).softmax(1), target)
        loss = loss + state["consistency"] * consistency
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        for t, s in zip(teacher.parameters(), student.parameters()):
            t.data.mul_(0.9).add_(s.data, alpha=0.1)
        return loss, consistency

    def between(i):
        if i % 4 == 3:
            state["consistency"] = (i + 1) / 10

    return Example(
        step,
        lambda i: (*batch(i), batch(i + 40)[0]),
        lambda: [student, teacher, state],
        between=between,
        calls=12,
    )


@example
def gradients_are_compared_between_two_losses(compile):
    model = mlp()
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1)

    @compile
    def step(x, y, z):
        logits = model(x)
        losses = [F.cross_entropy(logits, target) for target in (y, z)]
        parameters = list(model.parameters())
        grads = [minidl.autograd.grad(loss, parameters, retain_graph=True) for loss in losses]
        dot = sum((a * b).sum() for a, b in zip(*grads))
        norm = sum(b.square().sum() for b in grads[1])
        for p, a, b in map(lambda p, ab: (p, *ab), parameters, zip(*grads)):
            p.grad = a + b - dot.clamp(max=0.0) / norm * b
        optimizer.step()
        return [loss.detach() for loss in losses], dot

    return Example(step, lambda i: (*batch(i), batch(i + 60)[1]), lambda: [model])

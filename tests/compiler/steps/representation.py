"""Losses on embeddings, sequences, attention, gradients of gradients."""

import copy
import math

import minidl
from minidl import nn
from minidl.nn import functional as F
from steps import helpers
from steps.data import batch, integers, mlp, normal
from steps.example import Example, example


@example
def triplet_loss(compile):
    class TripletLoss(nn.Module):
        def __init__(self, margin=1.0):
            super().__init__()
            self.margin = margin

        def forward(self, anchor, positive, negative):
            near = (anchor - positive).pow(2).sum(1)
            far = (anchor - negative).pow(2).sum(1)
            return F.relu(near - far + self.margin).mean()

    net, criterion = mlp(), TripletLoss()
    optimizer = minidl.optim.Adam(net.parameters(), lr=0.01)

    @compile
    def step(anchor, positive, negative):
        optimizer.zero_grad()
        loss = criterion(net(anchor), net(positive), net(negative))
        loss.backward()
        optimizer.step()
        return loss

    def args(i):
        return normal(i, 6, 4), normal(i + 20, 6, 4), normal(i + 40, 6, 4)

    def between(i):
        if i == 6:
            criterion.margin = 0.2

    return Example(step, args, lambda: [net], between=between)


@example
def simclr(compile):
    net = mlp()
    optimizer = minidl.optim.SGD(net.parameters(), lr=0.1)
    n = 4
    labels = minidl.cat([minidl.arange(n, 2 * n), minidl.arange(n)])
    mask = minidl.eye(2 * n) > 0

    @compile
    def step(x, temperature=0.5):
        views = minidl.cat([x + 0.1 * minidl.randn_like(x), x + 0.1 * minidl.randn_like(x)])
        z = helpers.normalized(net(views))
        similarity = (z @ z.T).masked_fill(mask, -1e9)
        loss = F.cross_entropy(similarity / temperature, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return Example(step, lambda i: (normal(i, n, 4),), lambda: [net])


@example
def siamese_contrastive_loss(compile):
    class Siamese(nn.Module):
        def __init__(self, embedding):
            super().__init__()
            self.embedding = embedding

        def forward(self, *pair):
            return tuple(self.embedding(x) for x in pair)

    net = Siamese(mlp())
    optimizer = minidl.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)

    def contrastive(output1, output2, target, margin=1.0, eps=1e-9):
        distances = (output2 - output1).pow(2).sum(1)
        losses = 0.5 * (
            target * distances + (1 - target) * F.relu(margin - (distances + eps).sqrt()).pow(2)
        )
        return losses.mean()

    @compile
    def step(pair, target):
        loss = contrastive(*net(*pair), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return Example(
        step,
        lambda i: ((normal(i, 6, 4), normal(i + 9, 6, 4)), integers(i, 2, 6).float()),
        lambda: [net, optimizer],
    )


@example
def momentum_contrast_with_a_queue(compile):
    class MoCo(nn.Module):
        def __init__(self, size=12, dim=3, m=0.9, temperature=0.2):
            super().__init__()
            self.size, self.m, self.temperature = size, m, temperature
            self.encoder_q = mlp(classes=dim)
            self.encoder_k = copy.deepcopy(self.encoder_q)
            self.encoder_k.requires_grad_(False)
            self.register_buffer("queue", helpers.normalized(minidl.randn(size, dim)))
            self.ptr = 0

        @minidl.no_grad()
        def momentum_update(self):
            for q, k in zip(self.encoder_q.parameters(), self.encoder_k.parameters()):
                k.data = k.data * self.m + q.data * (1.0 - self.m)

        @minidl.no_grad()
        def enqueue(self, keys):
            self.queue[self.ptr : self.ptr + len(keys)] = keys
            self.ptr = (self.ptr + len(keys)) % self.size

        def forward(self, x_q, x_k):
            q = helpers.normalized(self.encoder_q(x_q))
            with minidl.no_grad():
                self.momentum_update()
                k = helpers.normalized(self.encoder_k(x_k))
            positive = minidl.einsum("nc,nc->n", q, k).unsqueeze(-1)
            negative = minidl.einsum("nc,kc->nk", q, self.queue.clone())
            self.enqueue(k)
            return minidl.cat([positive, negative], dim=1) / self.temperature

    model = MoCo()
    optimizer = minidl.optim.SGD(model.encoder_q.parameters(), lr=0.1)

    @compile
    def step(x_q, x_k):
        logits = model(x_q, x_k)
        loss = F.cross_entropy(logits, minidl.zeros(len(x_q), dtype=minidl.int64))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return Example(step, lambda i: (normal(i, 4, 4), normal(i + 9, 4, 4)), lambda: [model])


@example
def byol(compile):
    online, predictor = mlp(), mlp(width=3)
    target = copy.deepcopy(online)
    target.eval().requires_grad_(False)
    optimizer = minidl.optim.Adam([*online.parameters(), *predictor.parameters()], lr=0.01)
    schedule = {"tau": 0.9}

    @compile
    def step(one, two):
        def regression(x, y):
            return 2 - 2 * (helpers.normalized(x) * helpers.normalized(y)).sum(-1)

        with minidl.no_grad():
            goals = target(two), target(one)
        loss = regression(predictor(online(one)), goals[0])
        loss = (loss + regression(predictor(online(two)), goals[1])).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        helpers.soft_update(target, online, 1 - schedule["tau"])
        return loss

    def between(i):
        if i % 5 == 4:
            schedule["tau"] = 1 - (1 - schedule["tau"]) / 2

    return Example(
        step,
        lambda i: (normal(i, 6, 4), normal(i + 9, 6, 4)),
        lambda: [online, predictor, target],
        between=between,
    )


@example
def center_loss_with_its_own_rate(compile):
    net, head = nn.Linear(4, 2), nn.Linear(2, 3)
    centers = nn.Parameter(minidl.randn(3, 2))
    optimizer = minidl.optim.SGD([*net.parameters(), *head.parameters()], lr=0.1)
    optimizer_centers = minidl.optim.SGD([centers], lr=0.5)
    alpha = 0.1

    @compile
    def step(x, y):
        features = net(x)
        loss = F.cross_entropy(head(features), y)
        loss = loss + alpha * (features - centers[y]).square().sum(1).mean()
        optimizer.zero_grad()
        optimizer_centers.zero_grad()
        loss.backward()
        optimizer.step()
        for param in optimizer_centers.param_groups[0]["params"]:
            param.grad.data.mul_(1.0 / alpha)
        optimizer_centers.step()
        return loss

    return Example(step, batch, lambda: [net, head, centers])


# --------------------------------------------------------------------------- sequences


@example
def rnn_with_its_state_passed_in_and_out(compile):
    class RNN(nn.Module):
        def __init__(self, width=3, hidden=5, classes=3):
            super().__init__()
            self.hidden_size = hidden
            self.i2h = nn.Linear(width + hidden, hidden)
            self.h2o = nn.Linear(hidden, classes)

        def forward(self, input, hidden):
            hidden = self.i2h(minidl.cat((input, hidden), 1)).tanh()
            return self.h2o(hidden), hidden

        def init_hidden(self, size):
            return minidl.zeros(size, self.hidden_size)

    rnn = RNN()
    optimizer = minidl.optim.SGD(rnn.parameters(), lr=0.1)
    carried = {"hidden": rnn.init_hidden(4)}

    @compile
    def train(line, category, hidden):
        rnn.zero_grad()
        for t in range(line.size(0)):
            output, hidden = rnn(line[t], hidden)
        loss = F.cross_entropy(output, category)
        loss.backward()
        optimizer.step()
        return loss, hidden.detach()

    def step(line, category):
        loss, carried["hidden"] = train(line, category, carried["hidden"])
        return loss

    return Example(step, lambda i: (normal(i, 4, 4, 3), integers(i, 3, 4)), lambda: [rnn, carried])


@example
def rnn_that_keeps_its_state(compile):
    class Cell(nn.Module):
        def __init__(self, width=3, hidden=4):
            super().__init__()
            self.gates = nn.Linear(width + hidden, 4 * hidden)
            self.state = (minidl.zeros(2, hidden), minidl.zeros(2, hidden))

        def forward(self, x):
            h, c = self.state
            i, f, g, o = self.gates(minidl.cat([x, h], 1)).chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            self.state = (h, c)
            return h

        def detach(self):
            self.state = tuple(s.detach() for s in self.state)

    cell = Cell()
    optimizer = minidl.optim.Adam(cell.parameters(), lr=0.01)

    @compile
    def truncated_backpropagation(inputs, target):
        optimizer.zero_grad()
        cell.detach()
        loss = 0
        for x in inputs:
            loss = loss + F.mse_loss(cell(x), target)
        loss.backward()
        optimizer.step()
        return loss

    return Example(
        truncated_backpropagation,
        lambda i: ([normal(10 * i + k, 2, 3) for k in range(3)], normal(i, 2, 4)),
        lambda: [cell],
    )


@example
def language_model_with_a_causal_mask(compile):
    class Block(nn.Module):
        def __init__(self, width, heads, length):
            super().__init__()
            self.heads = heads
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.mlp = nn.Sequential(nn.Linear(width, 8), nn.GELU(), nn.Linear(8, width))
            lower = minidl.arange(length).reshape(-1, 1) < minidl.arange(length)
            self.register_buffer("mask", lower, persistent=False)

        def forward(self, x):
            b, t, c = x.size()
            q, k, v = self.qkv(self.norm1(x)).split(c, dim=2)
            q, k, v = (z.view(b, t, self.heads, c // self.heads).transpose(1, 2) for z in (q, k, v))
            att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
            att = att.masked_fill(self.mask[:t, :t], float("-inf")).softmax(-1)
            y = (att @ v).transpose(1, 2).contiguous().view(b, t, c)
            x = x + self.proj(y)
            return x + self.mlp(self.norm2(x))

    class GPT(nn.Module):
        def __init__(self, vocabulary=7, width=4, length=6):
            super().__init__()
            self.tokens = nn.Parameter(0.1 * minidl.randn(vocabulary, width))
            self.positions = nn.Parameter(0.1 * minidl.randn(length, width))
            self.blocks = nn.ModuleList([Block(width, 2, length) for _ in range(2)])

        def forward(self, idx, targets=None):
            x = self.tokens[idx] + self.positions[: idx.size(1)]
            for block in self.blocks:
                x = block(x)
            logits = x @ self.tokens.T
            if targets is None:
                return logits, None
            return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    model = GPT()
    optimizer = minidl.optim.AdamW(model.parameters(), lr=1e-2, betas=(0.9, 0.95))

    @compile
    def step(tokens):
        _, loss = model(tokens[:, :-1], tokens[:, 1:])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss

    return Example(step, lambda i: (integers(i, 7, 2, 5 + i // 5),), lambda: [model], calls=10)


@example
def attention_by_einsum(compile):
    w_q, w_k, w_v = (nn.Parameter(0.5 * minidl.randn(2, 4, 3)) for _ in range(3))
    head = nn.Linear(6, 3)
    optimizer = minidl.optim.SGD([w_q, w_k, w_v, *head.parameters()], lr=0.1)

    @compile
    def step(x, y):
        q, k, v = (minidl.einsum("btc,hcd->bhtd", x, w) for w in (w_q, w_k, w_v))
        scores = minidl.einsum("bhid,bhjd->bhij", q, k) / 3**0.5
        out = minidl.einsum("bhij,bhjd->bhid", scores.softmax(-1), v)
        pooled = out.mean(2).flatten(1)
        loss = F.cross_entropy(head(pooled), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss, scores

    return Example(
        step, lambda i: (normal(i, 3, 5, 4), integers(i, 3, 3)), lambda: [w_q, w_k, w_v, head]
    )


@example
def word_vectors_with_negative_samples(compile):
    center, context = (nn.Parameter(0.3 * minidl.randn(12, 4)) for _ in range(2))
    optimizer = minidl.optim.SGD([center, context], lr=0.5)
    noise = {"samples": 3}

    @compile
    def step(words, contexts):
        v, u = center[words], context[contexts]
        negatives = context[minidl.randint(0, 12, (len(words), noise["samples"]))]
        positive = -F.softplus(-(v * u).sum(1))
        negative = -F.softplus(minidl.einsum("bc,bkc->bk", v, negatives)).sum(1)
        loss = -(positive + negative).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    def between(i):
        if i == 6:
            noise["samples"] = 1

    return Example(
        step,
        lambda i: (integers(i, 12, 5), integers(i + 20, 12, 5)),
        lambda: [center, context],
        between=between,
    )


@example
def pixels_at_precomputed_places(compile):
    rows, columns = minidl.tensor([0, 2, 4]), minidl.tensor([1, 3, 5])
    model = nn.Linear(6, 3)
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1)

    @compile
    def step(images, y):
        chosen = images[:, :, rows, columns].flatten(1)
        loss = F.cross_entropy(model(chosen), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    def between(i):
        nonlocal rows
        if i == 4:
            columns.copy_(minidl.tensor([0, 1, 2]))
        if i == 8:
            rows = minidl.tensor([5, 5, 0])

    return Example(
        step,
        lambda i: (normal(i, 4, 2, 6, 6), integers(i, 3, 4)),
        lambda: [model, rows, columns],
        between=between,
    )


# --------------------------------------------------------------------------- gradients


@example
def maml(compile):
    model = mlp(width=1, classes=1)
    optimizer = minidl.optim.Adam(model.parameters(), lr=0.01)

    def forward(x, weights):
        return F.linear(F.linear(x, *weights[:2]).relu(), *weights[2:])

    @compile
    def meta_step(x_support, y_support, x_query, y_query, inner_lr=0.05, inner_steps=2):
        weights = list(model.parameters())
        for _ in range(inner_steps):
            loss = F.mse_loss(forward(x_support, weights), y_support)
            grads = minidl.autograd.grad(loss, weights, create_graph=True)
            weights = [w - inner_lr * g for w, g in zip(weights, grads)]
        outer = F.mse_loss(forward(x_query, weights), y_query)
        optimizer.zero_grad()
        outer.backward()
        optimizer.step()
        return outer

    def args(i):
        x = normal(i, 10, 1)
        y = x.sin()
        return x[:5], y[:5], x[5:], y[5:]

    return Example(meta_step, args, lambda: [model, optimizer])


@example
def reptile(compile):
    model = mlp(width=1, classes=1)
    inner = minidl.optim.SGD(model.parameters(), lr=0.05)
    outer_lr = 0.3

    @compile
    def step(x, y):
        before = [p.detach().clone() for p in model.parameters()]
        for _ in range(3):
            inner.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            inner.step()
        with minidl.no_grad():
            for p, old in zip(model.parameters(), before):
                p.copy_(old + outer_lr * (p - old))
        return loss

    return Example(step, lambda i: (normal(i, 5, 1), normal(i, 5, 1).cos()), lambda: [model])


@example
def adversarial_training_with_projected_steps(compile):
    model = mlp()
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1)

    def pgd(x, y, eps=0.3, alpha=0.1, steps=2):
        adv = x + (2 * minidl.rand_like(x) - 1) * eps
        for _ in range(steps):
            adv = adv.detach().requires_grad_(True)
            (grad,) = minidl.autograd.grad(F.cross_entropy(model(adv), y), adv)
            adv = minidl.maximum(minidl.minimum(adv + alpha * grad.sign(), x + eps), x - eps)
        return adv.detach()

    @compile
    def step(x, y):
        adversarial = pgd(x, y)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(adversarial), y)
        loss.backward()
        optimizer.step()
        return loss

    return Example(step, batch, lambda: [model])


@example
def network_for_a_differential_equation(compile):
    net = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))
    optimizer = minidl.optim.Adam(net.parameters(), lr=0.01)
    start = minidl.zeros(1, 1)

    def derivative(y, x):
        return minidl.autograd.grad(y.sum(), x, create_graph=True)[0]

    @compile
    def step(t):
        t = t.clone().requires_grad_(True)
        u = net(t)
        du = derivative(u, t)
        ddu = derivative(du, t)
        residual = (ddu + 0.5 * du + u).square().mean()
        loss = residual + (net(start) - 1).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss, residual

    return Example(step, lambda i: (normal(i, 6, 1),), lambda: [net])

"""Supervised learning: losses, augmentation, evaluation."""

import minidl
from minidl import nn
from minidl.nn import functional as F
from minidl.vision import transforms as T
from steps import helpers
from steps.data import batch, convnet, integers, mlp, normal, permutation, pictures, uniform
from steps.example import Example, example


@example
def convnet_batch_norm_dropout(compile):
    model = nn.Sequential(*convnet()[:5], nn.Dropout(0.5), nn.Linear(36, 3))
    optimizer = minidl.optim.SGD(model.parameters(), 0.05, momentum=0.9, weight_decay=5e-4)
    criterion = nn.CrossEntropyLoss()

    @compile
    def step(images, labels):
        model.train()
        output = model(images)
        loss = criterion(output, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss, helpers.accuracy(output, labels)

    return Example(step, pictures, lambda: [model, optimizer])


@example
def label_smoothing_by_hand(compile):
    class LabelSmoothingCrossEntropy(nn.Module):
        def __init__(self, eps=0.1):
            super().__init__()
            self.eps = eps

        def forward(self, output, target):
            log_preds = F.log_softmax(output, dim=-1)
            uniform_loss = -log_preds.sum(dim=-1).mean() / output.size(-1)
            return self.eps * uniform_loss + (1 - self.eps) * F.nll_loss(log_preds, target)

    model = mlp()
    loss_func = LabelSmoothingCrossEntropy()
    opt = minidl.optim.Adam(model.parameters(), 0.02)

    @compile
    def fit_one(xb, yb):
        loss = loss_func(model(xb), yb)
        loss.backward()
        opt.step()
        opt.zero_grad()
        return loss

    def between(i):
        if i == 6:
            loss_func.eps = 0.0

    return Example(fit_one, batch, lambda: [model, opt, loss_func], between=between)


@example
def focal_loss(compile):
    class FocalLoss(nn.Module):
        def __init__(self, gamma=2.0, alpha=0.25, size_average=True):
            super().__init__()
            self.gamma, self.alpha, self.size_average = gamma, alpha, size_average

        def forward(self, inputs, targets):
            bce = F.binary_cross_entropy_with_logits(inputs, targets, reduction="none")
            pt = (-bce).exp()
            loss = self.alpha * (1 - pt) ** self.gamma * bce
            return loss.mean() if self.size_average else loss.sum()

    model, criterion = mlp(classes=1), FocalLoss()
    optimizer = minidl.optim.Adam(model.parameters(), lr=0.01)

    @compile
    def train_step(x, target):
        optimizer.zero_grad()
        loss = criterion(model(x).squeeze(1), target)
        loss.backward()
        optimizer.step()
        return {"loss": loss}

    def args(i):
        return normal(i, 6, 4), integers(i, 2, 6).float()

    return Example(train_step, args, lambda: [model, optimizer])


@example
def class_weights_are_replaced(compile):
    model = mlp()
    criterion = nn.CrossEntropyLoss(weight=minidl.tensor([1.0, 2.0, 0.5]))
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1)

    def step(x, y):
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    def between(i):
        if i == 5:
            criterion.weight = minidl.tensor([0.1, 1.0, 3.0])
        if i == 8:
            criterion.weight.fill_(1.0)

    return Example(compile(step), batch, lambda: [model, criterion], between=between)


@example
def mixup_with_a_float_per_call(compile):
    model = mlp()
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1)
    criterion = nn.CrossEntropyLoss()

    def mixup_data(x, y, lam, index):
        mixed_x = lam * x + (1 - lam) * x[index]
        return mixed_x, y, y[index]

    def mixup_criterion(pred, y_a, y_b, lam):
        return lam * criterion(pred, y_a) + (1 - lam) * criterion(pred, y_b)

    @compile
    def step(x, y, lam, index):
        mixed, y_a, y_b = mixup_data(x, y, lam, index)
        optimizer.zero_grad()
        loss = mixup_criterion(model(mixed), y_a, y_b, lam)
        loss.backward()
        optimizer.step()
        return loss

    def args(i):
        return (*batch(i), (0.3 + 0.37 * i) % 1.0, permutation(i, 6))

    return Example(step, args, lambda: [model, optimizer])


@example
def mixup_drawn_inside(compile):
    model = mlp()
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    @compile
    def step(x, y):
        lam = minidl.rand(x.size(0), 1)
        index = minidl.randperm(x.size(0))
        output = model(lam * x + (1 - lam) * x[index])
        losses = F.cross_entropy(output, y, reduction="none")
        shuffled = F.cross_entropy(output, y[index], reduction="none")
        loss = (lam.squeeze(1) * losses + (1 - lam.squeeze(1)) * shuffled).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return Example(step, batch, lambda: [model, optimizer])


@example
def cutmix_boxes_of_ints(compile):
    model = convnet()
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.05)
    boxes = [(0, 0, 3, 3), (2, 2, 6, 5)]

    @compile
    def step(images, labels, index, box):
        y1, x1, y2, x2 = box
        images = images.clone()
        images[:, :, y1:y2, x1:x2] = images[index, :, y1:y2, x1:x2]
        lam = 1 - (y2 - y1) * (x2 - x1) / (images.shape[-1] * images.shape[-2])
        output = model(images)
        loss = lam * F.cross_entropy(output, labels)
        loss += (1 - lam) * F.cross_entropy(output, labels[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    def args(i):
        return (*pictures(i), permutation(i, 4), boxes[i % 2])

    return Example(step, args, lambda: [model, optimizer])


@example
def one_hot_targets(compile):
    num_classes = 3
    one_hot = minidl.eye(num_classes)
    model = nn.Sequential(nn.Linear(4, 8), nn.LeakyReLU(0.1), nn.Linear(8, num_classes))
    optimizer = minidl.optim.Adam(model.parameters())

    @compile
    def step(x, y):
        target = one_hot[y]
        pred = model(x).softmax(dim=1)
        loss = ((pred - target) ** 2).sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return Example(step, batch, lambda: [model, optimizer])


@example
def multi_label_with_positive_weights(compile):
    model = mlp(classes=5)
    criterion = nn.BCEWithLogitsLoss(pos_weight=minidl.tensor([1.0, 2.0, 3.0, 4.0, 5.0]))
    optimizer = minidl.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1)

    @compile
    def step(batch):
        logits = model(batch["features"])
        loss = criterion(logits, batch["targets"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with minidl.no_grad():
            correct = ((logits.sigmoid() > 0.5).float() == batch["targets"]).float().mean()
        return {"loss": loss.detach(), "accuracy": correct}

    def args(i):
        return ({"features": normal(i, 6, 4), "targets": integers(i, 2, 6, 5).float()},)

    return Example(step, args, lambda: [model, optimizer])


@example
def distillation_with_a_frozen_teacher(compile):
    teacher, student = convnet(), mlp(width=72)
    teacher.eval()
    for p in teacher.parameters():
        p.requires_grad = False
    optimizer = minidl.optim.SGD(student.parameters(), lr=0.1, momentum=0.9)
    temperature, alpha = 4.0, 0.7

    @compile
    def step(x, y):
        with minidl.no_grad():
            teacher_logits = teacher(x)
        student_logits = student(x.flatten(1))
        soft = F.kl_div(
            F.log_softmax(student_logits / temperature, dim=1),
            F.softmax(teacher_logits / temperature, dim=1),
            reduction="batchmean",
        )
        hard = F.cross_entropy(student_logits, y)
        loss = alpha * temperature**2 * soft + (1 - alpha) * hard
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss, soft, hard

    return Example(step, pictures, lambda: [teacher, student, optimizer])


@example
def multi_task_weights_change(compile):
    class MultiTask(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(4, 8), nn.ReLU())
            self.heads = nn.ModuleDict({"kind": nn.Linear(8, 3), "size": nn.Linear(8, 1)})

        def forward(self, x):
            features = self.body(x)
            return {name: head(features) for name, head in self.heads.items()}

    model = MultiTask()
    optimizer = minidl.optim.Adam(model.parameters(), lr=0.01)
    criteria = {"kind": nn.CrossEntropyLoss(), "size": nn.MSELoss()}
    weights = {"kind": 1.0, "size": 0.5}

    @compile
    def step(x, targets):
        outputs = model(x)
        losses = {name: criteria[name](outputs[name], targets[name]) for name in outputs}
        loss = sum(weights[name] * value for name, value in losses.items())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return losses

    def args(i):
        x, y = batch(i)
        return x, {"kind": y, "size": normal(i, 6, 1)}

    def between(i):
        if i == 3:
            weights["size"] = 2.0
        if i == 8:
            weights.update(kind=0.1, size=0.0)

    return Example(step, args, lambda: [model, optimizer, weights], between=between, calls=12)


@example
def curriculum_by_a_string(compile):
    model = mlp()
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1)
    phase = "easy"

    @compile
    def step(x, y):
        losses = F.cross_entropy(model(x), y, reduction="none")
        if phase == "easy":
            losses, _ = losses.topk(4, largest=False)
        elif phase == "hard":
            losses = losses.topk(2).values
        loss = losses.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    def between(i):
        nonlocal phase
        if i == 4:
            phase = "all"
        if i == 8:
            phase = "hard"

    return Example(step, batch, lambda: [model, phase], between=between, calls=12)


@example
def train_and_evaluate_in_turn(compile):
    model = convnet()
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)

    @compile
    def train_step(x, y):
        model.train()
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    @compile
    def eval_step(x, y):
        model.eval()
        with minidl.no_grad():
            output = model(x)
            return F.cross_entropy(output, y), (output.argmax(1) == y).sum()

    def both(x, y):
        return train_step(x, y), eval_step(x, y)

    return Example(both, pictures, lambda: [model, optimizer])


@example
def modes_are_set_outside(compile):
    model = convnet()
    optimizer = minidl.optim.Adam(model.parameters(), lr=0.01)

    @compile
    def forward_backward(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    @compile
    @minidl.no_grad()
    def predict(x):
        return model(x).softmax(1)

    def step(x, y):
        loss = forward_backward(x, y)
        model.eval()
        probabilities = predict(x)
        model.train()
        return loss, probabilities

    return Example(step, pictures, lambda: [model, optimizer])


@example
def one_function_for_train_and_validation(compile):
    model = convnet()
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1)

    @compile
    def run(x, y, train):
        model.train(train)
        with minidl.set_grad_enabled(train):
            outputs = model(x)
            _, preds = outputs.max(1)
            loss = F.cross_entropy(outputs, y)
            if train:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        return loss.detach() * x.size(0), (preds == y).sum()

    return Example(
        run,
        lambda i: (*pictures(i), i % 3 != 2),
        lambda: [model, optimizer],
        calls=12,
    )


@example
def features_without_gradient(compile):
    backbone, head = convnet()[:5], nn.Linear(36, 3)
    optimizer = minidl.optim.SGD(head.parameters(), lr=0.1)

    @compile
    def step(x, y):
        with minidl.no_grad():
            features = backbone(x)
        optimizer.zero_grad()
        loss = F.cross_entropy(head(features), y)
        loss.backward()
        optimizer.step()
        return loss

    return Example(step, pictures, lambda: [backbone, head])


@example
def normalize_and_flip_inside(compile):
    model = convnet()
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1)
    transform = T.Compose(
        [T.Normalize((0.5, 0.4), (0.25, 0.2)), T.Lambda(lambda x: x.clamp(-2.0, 2.0))]
    )

    @compile
    def step(images, labels):
        images = transform(images)
        flipped = minidl.rand(images.size(0), 1, 1, 1) < 0.5
        images = minidl.where(flipped, images.flip(-1), images)
        loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    def args(i):
        return uniform(i, 4, 2, 6, 6), integers(i, 3, 4)

    return Example(step, args, lambda: [model, optimizer])


@example
def crop_and_normalize_for_testing(compile):
    model = convnet().eval()
    transform = T.Compose([T.CenterCrop(6), T.Normalize([0.5], [0.5])])

    @compile
    @minidl.no_grad()
    def predict(images):
        return model(transform(images)).argmax(1)

    return Example(predict, lambda i: (uniform(i, 4, 2, 8, 8),), lambda: [model])


@example
def top_k_accuracy(compile):
    model = mlp(classes=5)
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1)

    def accuracy(output, target, topk=(1,)):
        with minidl.no_grad():
            maxk = max(topk)
            batch_size = target.size(0)
            _, pred = output.topk(maxk, 1, True, True)
            pred = pred.t()
            correct = pred.eq(target.view(1, -1).expand_as(pred))
            res = []
            for k in topk:
                correct_k = correct[:k].reshape(-1).float().sum(0, keepdim=True)
                res.append(correct_k.mul_(100.0 / batch_size))
            return res

    @compile
    def step(x, y):
        output = model(x)
        loss = F.cross_entropy(output, y)
        acc1, acc5 = accuracy(output, y, topk=(1, 3))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss, acc1, acc5

    return Example(step, lambda i: batch(i, classes=5), lambda: [model])


@example
def segmentation_with_ignored_pixels(compile):
    model = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 1))
    criterion = nn.CrossEntropyLoss(ignore_index=0)
    optimizer = minidl.optim.Adam(model.parameters(), lr=0.01)

    def dice(logits, masks, eps=1.0):
        probabilities = logits.softmax(1)[:, 1]
        wanted = (masks == 1).float()
        overlap = (probabilities * wanted).sum((1, 2))
        return 1 - ((2 * overlap + eps) / ((probabilities + wanted).sum((1, 2)) + eps)).mean()

    @compile
    def step(images, masks):
        logits = model(images)
        loss = criterion(logits, masks) + dice(logits, masks)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss

    return Example(
        step, lambda i: (normal(i, 2, 2, 5, 5), integers(i, 3, 2, 5, 5)), lambda: [model]
    )

"""Classes that train, with what they keep in their attributes."""

import argparse
from dataclasses import dataclass, field

import minidl
from minidl import nn
from minidl.nn import functional as F
from steps.data import batch, convnet, mlp, pictures
from steps.example import Example, example


@example
def trainer_whose_counter_is_called_step(compile):
    class Trainer:
        def __init__(self):
            self.model = mlp()
            self.opt = minidl.optim.SGD(self.model.parameters(), lr=0.1, momentum=0.9)
            self.sched = minidl.optim.lr_scheduler.StepLR(self.opt, 3, 0.5)
            self.criterion = nn.CrossEntropyLoss()
            self.step = 0
            self.train_batch = compile(self.train_batch)

        def train_batch(self, x, y):
            self.opt.zero_grad()
            loss = self.criterion(self.model(x), y)
            loss.backward()
            self.opt.step()
            return loss

        def fit(self, x, y):
            loss = self.train_batch(x, y)
            self.step += 1
            self.sched.step()
            return loss

    trainer = Trainer()
    return Example(trainer.fit, batch, lambda: trainer)


@example
def trainer_counts_global_step_inside(compile):
    class Trainer:
        def __init__(self, model, lr):
            self.model = model
            self.optimizer = minidl.optim.Adam(model.parameters(), lr=lr)
            self.global_step = 0
            self.samples_seen = 0

        def training_step(self, x, y):
            self.optimizer.zero_grad()
            loss = F.cross_entropy(self.model(x), y)
            loss.backward()
            self.optimizer.step()
            self.global_step += 1
            self.samples_seen += x.shape[0]
            return loss

    trainer = Trainer(mlp(), 0.01)
    return Example(compile(trainer.training_step), batch, lambda: trainer)


@example
def trainer_with_a_decorated_method(compile):
    class Trainer:
        def __init__(self):
            self.model = convnet()
            self.optimizer = minidl.optim.SGD(self.model.parameters(), lr=0.05)

        @compile
        def training_step(self, x, y):
            self.optimizer.zero_grad()
            loss = F.cross_entropy(self.model(x), y)
            loss.backward()
            self.optimizer.step()
            return loss

    trainer = Trainer()
    return Example(
        lambda x, y: trainer.training_step(x, y),
        pictures,
        lambda: [trainer.model, trainer.optimizer],
        captures=lambda: trainer.training_step.captures,
    )


@example
def two_trainers_share_a_decorated_method(compile):
    class Trainer:
        def __init__(self, hidden):
            self.model = mlp(hidden=hidden)
            self.optimizer = minidl.optim.SGD(self.model.parameters(), lr=0.1)
            self.scale = 1.0

        @compile
        def training_step(self, x, y, *, smoothing=0.0):
            self.optimizer.zero_grad()
            loss = self.scale * F.cross_entropy(self.model(x), y, label_smoothing=smoothing)
            loss.backward()
            self.optimizer.step()
            return loss

    first, second = Trainer(6), Trainer(9)

    def step(x, y):
        return first.training_step(x, y), second.training_step(x, y, smoothing=0.1)

    def between(i):
        if i == 5:
            second.scale = 0.25

    return Example(
        step,
        batch,
        lambda: [first.model, second.model],
        between=between,
        captures=lambda: first.training_step.captures,
    )


@example
def trainer_with_a_dataclass_config(compile):
    @dataclass
    class OptimConfig:
        lr: float = 0.1
        clip: float = 1.0

    @dataclass
    class TrainConfig:
        smoothing: float = 0.1
        use_l2: bool = True
        optim: OptimConfig = field(default_factory=OptimConfig)

    class Trainer:
        def __init__(self, config):
            self.config = config
            self.model = mlp()
            self.optimizer = minidl.optim.SGD(self.model.parameters(), lr=config.optim.lr)

        def step(self, x, y):
            logits = self.model(x)
            loss = F.cross_entropy(logits, y, label_smoothing=self.config.smoothing)
            if self.config.use_l2:
                loss = loss + 0.01 * self.model[0].weight.square().sum()
            self.optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.optim.clip)
            self.optimizer.step()
            return loss

    trainer = Trainer(TrainConfig())

    def between(i):
        if i == 3:
            trainer.config.optim.clip = 0.05
        if i == 6:
            trainer.config.use_l2 = False
        if i == 9:
            trainer.config = TrainConfig(smoothing=0.0)

    return Example(compile(trainer.step), batch, lambda: trainer, between=between, calls=12)


@example
def trainer_with_a_nested_config_dict(compile):
    class Trainer:
        def __init__(self, cfg):
            self.cfg = cfg
            self.nets = {"models": {"main": mlp(), "aux": nn.Linear(4, 3)}}
            params = [p for net in self.nets["models"].values() for p in net.parameters()]
            self.optim = minidl.optim.SGD(params, **cfg["optim"]["sgd"])

        def step(self, x, y):
            weights = self.cfg["loss"]["weights"]
            losses = [
                weights[name] * F.cross_entropy(net(x), y)
                for name, net in self.nets["models"].items()
            ]
            loss = losses[0] + losses[1]
            self.optim.zero_grad()
            loss.backward()
            self.optim.step()
            return loss

    cfg = {"optim": {"sgd": {"lr": 0.1}}, "loss": {"weights": {"main": 1.0, "aux": 0.3}}}
    trainer = Trainer(cfg)

    def between(i):
        if i == 4:
            trainer.cfg["loss"]["weights"]["aux"] = 0.0
        if i == 7:
            trainer.nets["models"]["main"] = mlp()

    return Example(compile(trainer.step), batch, lambda: trainer, between=between)


@example
def trainer_with_slots_and_properties(compile):
    class Trainer:
        __slots__ = ("_scale", "model", "optimizer")

        def __init__(self):
            self.model = mlp()
            self.optimizer = minidl.optim.SGD(self.model.parameters(), lr=0.1)
            self._scale = 1.0

        @property
        def scale(self):
            return self._scale * 2

        @property
        def lr(self):
            return self.optimizer.param_groups[0]["lr"]

        @lr.setter
        def lr(self, value):
            self.optimizer.param_groups[0]["lr"] = value

        def step(self, x, y):
            self.optimizer.zero_grad()
            loss = self.scale * F.cross_entropy(self.model(x), y)
            loss.backward()
            self.optimizer.step()
            return loss

    trainer = Trainer()

    def between(i):
        if i == 4:
            trainer.lr = 0.01
        if i == 7:
            trainer._scale = 0.1

    return Example(compile(trainer.step), batch, lambda: trainer, between=between)


@example
def lightning_like_module(compile):
    class LightningModule(nn.Module):
        def __init__(self):
            super().__init__()
            self.logged = {}

        def log(self, name, value, prog_bar=False):
            self.logged[name] = value.detach()

    class Classifier(LightningModule):
        def __init__(self, lr=0.02):
            super().__init__()
            self.hparams = argparse.Namespace(lr=lr)
            self.net = mlp()

        def forward(self, x):
            return self.net(x)

        def training_step(self, batch, batch_idx):
            x, y = batch
            logits = self(x)
            loss = F.cross_entropy(logits, y)
            self.log("train_loss", loss, prog_bar=True)
            self.log("train_acc", (logits.argmax(1) == y).float().mean())
            return loss

        def configure_optimizers(self):
            return minidl.optim.Adam(self.parameters(), lr=self.hparams.lr)

    module = Classifier()
    optimizer = module.configure_optimizers()

    @compile
    def run_batch(batch, batch_idx):
        loss = module.training_step(batch, batch_idx)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return Example(run_batch, lambda i: (batch(i), i), lambda: [module, optimizer])


@example
def wrapper_with_getattr(compile):
    class DataParallel:
        def __init__(self, module):
            self.module = module

        def __getattr__(self, name):
            return getattr(self.module, name)

        def __call__(self, *inputs):
            return self.module(*inputs)

    model = DataParallel(convnet())
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1)

    @compile
    def step(x, y):
        loss = F.cross_entropy(model(x), y)
        model.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    def between(i):
        if i == 6:
            model.eval()

    return Example(step, pictures, lambda: [model.module], between=between)


@example
def config_in_class_attributes(compile):
    class Config:
        temperature = 1.0
        label_smoothing = 0.1

        class Optim:
            clip = 1.0

    class Trainer:
        cfg = Config
        updates_per_log = 5

        def __init__(self):
            self.model = mlp()
            self.optimizer = minidl.optim.SGD(self.model.parameters(), lr=0.1)

        @staticmethod
        def scaled(logits):
            return logits / Config.temperature

        @classmethod
        def smoothing(cls):
            return cls.cfg.label_smoothing

        def step(self, x, y):
            logits = self.scaled(self.model(x))
            loss = F.cross_entropy(logits, y, label_smoothing=self.smoothing())
            self.optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_value_(self.model.parameters(), self.cfg.Optim.clip)
            self.optimizer.step()
            return loss

    trainer = Trainer()

    def between(i):
        if i == 3:
            Config.temperature = 2.0
        if i == 6:
            Config.label_smoothing = 0.0
        if i == 9:
            Config.Optim.clip = 0.01

    return Example(compile(trainer.step), batch, lambda: trainer, between=between, calls=12)

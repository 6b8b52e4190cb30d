"""A script with a nested configuration that a callback changes."""

import minidl
from minidl import nn
from minidl.nn import functional as F

config = {
    "model": {"width": 8, "dropout": 0.25},
    "train": {"lr": 0.1, "label_smoothing": 0.2, "clip": {"norm": 0.5, "type": 2.0}},
}
model = nn.Sequential(
    nn.Linear(4, config["model"]["width"]),
    nn.Tanh(),
    nn.Dropout(config["model"]["dropout"]),
    nn.Linear(config["model"]["width"], 3),
)
optimizer = minidl.optim.SGD(model.parameters(), lr=config["train"]["lr"])


def train_step(x, y):
    cfg = config["train"]
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x), y, label_smoothing=cfg["label_smoothing"])
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), cfg["clip"]["norm"], cfg["clip"]["type"])
    optimizer.step()
    return loss

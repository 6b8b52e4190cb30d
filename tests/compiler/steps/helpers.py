"""A module of helper functions, as projects have a ``utils.py``."""

import math

import minidl
from minidl.nn import functional as F

EPSILON = 1e-6


def accuracy(output, target):
    """The share of right classes, as a tensor."""
    return (output.argmax(1) == target).float().mean()


def normalized(x, dim=-1):
    """Vectors of length 1."""
    return x / (x.square().sum(dim, keepdim=True) + EPSILON).sqrt()


def l2_penalty(model, names=("weight",)):
    """The sum of squares of all parameters whose name ends like one of ``names``."""
    return sum(
        parameter.square().sum()
        for name, parameter in model.named_parameters()
        if name.split(".")[-1] in names
    )


def cosine(base_lr, step, total):
    """The learning rate of a step on half a cosine."""
    return 0.5 * base_lr * (1 + math.cos(math.pi * min(step, total) / total))


def set_lr(optimizer, lr):
    """Give all groups one learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def toggle_grad(model, on):
    """Switch gradients of all parameters."""
    for parameter in model.parameters():
        parameter.requires_grad = on


def soft_update(target, source, tau):
    """Move the weights of a target network by ``tau`` towards those of another."""
    with minidl.no_grad():
        for kept, new in zip(target.parameters(), source.parameters()):
            kept.data.mul_(1 - tau)
            kept.data.add_(tau * new.data)


def supervised_loss(model, batch, *, smoothing=0.0):
    """The loss of a batch that is a dictionary, and what is of interest beside it."""
    output = model(batch["x"])
    loss = F.cross_entropy(output, batch["y"], label_smoothing=smoothing)
    return loss, {"accuracy": accuracy(output, batch["y"])}

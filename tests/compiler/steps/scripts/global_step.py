"""A script whose loop counts in globals that have the names of methods."""

import minidl
from minidl import nn
from minidl.nn import functional as F

model = nn.Linear(4, 3)
optimizer = minidl.optim.Adam(model.parameters(), lr=0.05)
step = 0
epoch = 0
item = None
losses = []


def train(data, target):
    optimizer.zero_grad()
    output = model(data)
    loss = F.cross_entropy(output, target)
    loss.backward()
    optimizer.step()
    return loss


def after(i, loss):
    global step, epoch, item
    step = i
    epoch = i // 4
    losses.append(loss.item())
    item = losses[-1]

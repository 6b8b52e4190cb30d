"""A script whose loop prints; its step is clean and keeps the counters outside."""

import minidl
from minidl import nn

net = nn.Sequential(nn.Linear(4, 8), nn.Sigmoid(), nn.Linear(8, 3))
criterion = nn.CrossEntropyLoss()
optimizer = minidl.optim.SGD(net.parameters(), lr=0.2, momentum=0.9)
running_loss = 0.0
log = []


def fit(inputs, labels):
    optimizer.zero_grad()
    outputs = net(inputs)
    loss = criterion(outputs, labels)
    loss.backward()
    optimizer.step()
    return loss


def report(i, loss):
    global running_loss
    running_loss += loss.item()
    if i % 3 == 2:
        log.append(f"[{i + 1:5d}] loss: {running_loss / 3:.3f}")
        running_loss = 0.0

"""A tutorial's script: everything is a global."""

import minidl
from minidl import nn

learning_rate = 0.1
model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
criterion = nn.CrossEntropyLoss()
optimizer = minidl.optim.SGD(model.parameters(), lr=learning_rate, momentum=0.9)


def train_step(inputs, labels):
    optimizer.zero_grad()
    outputs = model(inputs)
    loss = criterion(outputs, labels)
    loss.backward()
    optimizer.step()
    return loss

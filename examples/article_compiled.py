"""The article's program with its steps compiled: what `article.py` does, in half the time.

The lines inside of the two loops have become two functions, `train` and `predict`; all else is
the same. Run it in a folder with CIFAR-10 in ``./data`` (it is fetched if it is not there).
"""

import minidl
from minidl import nn, optim
from minidl.utils.data import DataLoader
from minidl.vision import datasets, transforms


class Net(nn.Module):
    """The article's network."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 5)
        self.pool = nn.MaxPool2d(2, 2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        """(N, 3, 32, 32) pictures to (N, 10) logits."""
        x = self.pool(nn.functional.relu(self.conv1(x)))
        x = self.pool(nn.functional.relu(self.conv2(x)))
        x = x.view(-1, 16 * 5 * 5)
        x = nn.functional.relu(self.fc1(x))
        x = nn.functional.relu(self.fc2(x))
        return self.fc3(x)


transform = transforms.Compose(
    [transforms.RandomHorizontalFlip(), transforms.RandomRotation(10), transforms.ToTensor()]
)
trainset = datasets.CIFAR10("./data", train=True, download=True, transform=transform)
trainloader = DataLoader(trainset, batch_size=4, shuffle=True, num_workers=2)
testset = datasets.CIFAR10("./data", train=False, download=True, transform=transform)
testloader = DataLoader(testset, batch_size=4, shuffle=False, num_workers=2)

net = Net()
criterion = nn.CrossEntropyLoss()
optimizer = optim.SGD(net.parameters(), lr=0.001, momentum=0.9)


@minidl.compile
def train(inputs, labels):
    """One step; returns the loss before it."""
    optimizer.zero_grad()
    loss = criterion(net(inputs), labels)
    loss.backward()
    optimizer.step()
    return loss


@minidl.compile
def predict(images):
    """(N,) the class of each picture."""
    with minidl.no_grad():
        return net(images).argmax(1)


for epoch in range(2):
    running_loss = 0.0
    for i, (inputs, labels) in enumerate(trainloader):
        running_loss += train(inputs, labels).item()
        if i % 2000 == 1999:
            print(f"[{epoch + 1}, {i + 1:5}] loss: {running_loss / 2000:.3f}")
            running_loss = 0.0
print("Finished Training")

correct = total = 0
for images, labels in testloader:
    total += labels.size(0)
    correct += (predict(images) == labels).sum().item()
print(f"Accuracy of the network on the 10000 test images: {100 * correct / total} %")

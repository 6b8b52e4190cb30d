"""The article's program in PyTorch, the peer of ``examples/article.py``.

Its lines are the article's, but for torchvision, which this stands in for: the data set
and the three transforms as torchvision writes them, on Pillow images.
Run by ``python -m benchmarks.article`` in a folder with the data in ``./data``.
"""

import pickle
import random
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn, optim


def transform(image):
    """RandomHorizontalFlip(), RandomRotation(10), ToTensor()."""
    if random.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    image = image.rotate(random.uniform(-10, 10), Image.Resampling.NEAREST)
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
    return pixels.to(torch.float32).div(255)


class CIFAR10(torch.utils.data.Dataset):
    """Pictures as Pillow images, transformed one by one."""

    def __init__(self, root, train, transform):
        names = [f"data_batch_{i}" for i in range(1, 6)] if train else ["test_batch"]
        batches = []
        for name in names:
            with open(Path(root) / "cifar-10-batches-py" / name, "rb") as file:
                batches.append(pickle.load(file, encoding="latin1"))
        data = np.concatenate([batch["data"] for batch in batches])
        self.data = data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        self.targets = [label for batch in batches for label in batch["labels"]]
        self.transform = transform

    def __getitem__(self, index):
        return self.transform(Image.fromarray(self.data[index])), self.targets[index]

    def __len__(self):
        return len(self.data)


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


def main():
    """Train for two epochs and test, as the article does."""
    trainset = CIFAR10("./data", train=True, transform=transform)
    trainloader = torch.utils.data.DataLoader(trainset, batch_size=4, shuffle=True, num_workers=2)
    testset = CIFAR10("./data", train=False, transform=transform)
    testloader = torch.utils.data.DataLoader(testset, batch_size=4, shuffle=False, num_workers=2)
    net = Net()
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.SGD(net.parameters(), lr=0.001, momentum=0.9)

    for epoch in range(2):
        running_loss = 0.0
        for i, (inputs, labels) in enumerate(trainloader):
            optimizer.zero_grad()
            loss = criterion(net(inputs), labels)
            loss.backward()
            optimizer.step()
            running_loss += loss.item()
            if i % 2000 == 1999:
                print(f"[{epoch + 1}, {i + 1:5}] loss: {running_loss / 2000:.3f}", flush=True)
                running_loss = 0.0

    correct = total = 0
    with torch.no_grad():
        for images, labels in testloader:
            _, predicted = torch.max(net(images).data, 1)
            total += labels.size(0)
            correct += (predicted == labels).sum().item()
    print(f"Accuracy of the network on the 10000 test images: {100 * correct / total} %")


if __name__ == "__main__":
    main()

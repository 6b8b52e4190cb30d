"""Train a small CNN on CIFAR-10, on a GPU if there is one.

    python examples/cifar_cnn.py                   the article's network and settings
    python examples/cifar_cnn.py --recipe fast     the best accuracy in about two minutes
    python examples/cifar_cnn.py --device cpu      (or cuda, cuda:1, emulator)

Looks for CIFAR-10 in --data, in $MINIDL_DATA and in the cache folder, and downloads it if
it is nowhere. Without a network it trains on built-in synthetic pictures and says so.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import numpy as np
from tqdm import tqdm

import minidl
from minidl import nn, optim
from minidl.utils.data import DataLoader, Dataset, Subset
from minidl.vision import datasets, transforms

try:
    import figures
except ImportError:  # matplotlib is an extra; without it the run ends with its tables
    figures = None

CHECKPOINT_SECONDS = 20.0


# --------------------------------------------------------------------------- the recipes


class ArticleNet(nn.Module):
    """The article's network: two convolutions, three linear layers, 62,006 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 5)
        self.pool = nn.MaxPool2d(2, 2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x: minidl.Tensor) -> minidl.Tensor:
        """(N, 3, 32, 32) pictures to (N, 10) logits."""
        x = self.pool(nn.functional.relu(self.conv1(x)))
        x = self.pool(nn.functional.relu(self.conv2(x)))
        x = x.flatten(1)
        x = nn.functional.relu(self.fc1(x))
        x = nn.functional.relu(self.fc2(x))
        return self.fc3(x)


def fast_net() -> nn.Sequential:
    """Four 3x3 convolutions with batch norm, each followed by 2x2 max pooling."""

    def block(inputs: int, outputs: int) -> list[nn.Module]:
        return [
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.MaxPool2d(2),  # before ReLU, which commutes with it and then has a quarter to do
            nn.ReLU(),
        ]

    widths = [3, 24, 48, 96, 192]
    blocks = [layer for pair in itertools.pairwise(widths) for layer in block(*pair)]
    return nn.Sequential(*blocks, nn.Flatten(), nn.Linear(192 * 2 * 2, 10))


@dataclass
class Recipe:
    """What to train and how; ``optimizer`` gets the model and the number of steps."""

    model: Callable[[], nn.Module]
    epochs: int
    batch_size: int
    augmentation: list
    normalisation: list
    optimizer: Callable[[nn.Module, int], tuple[optim.Optimizer, optim.lr_scheduler.LRScheduler]]


def article_optimizer(model: nn.Module, steps: int) -> tuple:
    """SGD with a constant learning rate."""
    optimizer = optim.SGD(model.parameters(), lr=0.001, momentum=0.9)
    return optimizer, optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)


def fast_optimizer(model: nn.Module, steps: int) -> tuple:
    """Nesterov SGD under a one-cycle schedule."""
    optimizer = optim.SGD(
        model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
    schedule = optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.2, total_steps=steps, pct_start=0.25, cycle_momentum=False
    )
    return optimizer, schedule


RECIPES = {
    "article": Recipe(
        ArticleNet,
        epochs=2,
        batch_size=4,
        augmentation=[transforms.RandomHorizontalFlip(), transforms.RandomRotation(10)],
        normalisation=[],
        optimizer=article_optimizer,
    ),
    "fast": Recipe(
        fast_net,
        epochs=3,
        batch_size=128,
        augmentation=[transforms.RandomHorizontalFlip(), transforms.RandomCrop(32, padding=2)],
        normalisation=[transforms.Normalize((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))],
        optimizer=fast_optimizer,
    ),
}


# --------------------------------------------------------------------------- the data


def cache_folder() -> Path:
    """Where downloads are kept: ``$XDG_CACHE_HOME/minidl``, by default ``~/.cache/minidl``."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "minidl"


def find_cifar10(asked: Path | None) -> Path | None:
    """The folder that holds CIFAR-10, downloaded if need be; None if it cannot be had."""
    if asked is not None and not datasets.CIFAR10.present(asked):
        sys.exit(f"--data {asked}: there is no CIFAR-10 (cifar-10-batches-py or -bin) in it")
    places = [asked, os.environ.get("MINIDL_DATA"), cache_folder()]
    for place in filter(None, places):
        if datasets.CIFAR10.present(place):
            return Path(place)
    try:
        datasets.CIFAR10(cache_folder(), download=True)
    except datasets.DownloadError as error:
        print(f"\n{error}", file=sys.stderr)
        return None
    return cache_folder()


def load_data(recipe: Recipe, folder: Path | None) -> tuple[Dataset, Dataset, str]:
    """The training and test pictures and what they are called in the report."""
    train = transforms.Compose([*recipe.augmentation, transforms.ToTensor(), *recipe.normalisation])
    test = transforms.Compose([transforms.ToTensor(), *recipe.normalisation])
    if folder is not None:
        make, name = datasets.CIFAR10, "CIFAR-10"
        try:
            sets = (
                make(folder, train=True, transform=train),
                make(folder, train=False, transform=test),
            )
        except ValueError as error:
            sys.exit(f"the data cannot be used: {error}")
    else:
        make, name = datasets.SyntheticPictures, "synthetic pictures"
        sets = make(train=True, transform=train), make(train=False, transform=test)
        print(
            "\n*** CIFAR-10 was not found and could not be downloaded. ***\n"
            "*** Training on built-in synthetic pictures instead: the accuracy below is ***\n"
            "*** NOT an accuracy on CIFAR-10. Point --data at a copy to train on it.    ***\n",
            file=sys.stderr,
        )
    return *sets, name


def limited(dataset: Dataset, count: int | None) -> Dataset:
    """The first ``count`` pictures of a data set."""
    if count is None:
        return dataset
    if not 1 <= count <= len(dataset):
        sys.exit(f"a limit of {count} pictures: the data set has 1 to {len(dataset)}")
    return Subset(dataset, range(count))


# --------------------------------------------------------------------------- the run


class Run:
    """A training run that can be stopped between two steps and resumed to the same bits."""

    def __init__(self, recipe: Recipe, trainset: Dataset, testset: Dataset, args):
        self.epochs = args.epochs or recipe.epochs
        batch_size = args.batch_size or recipe.batch_size
        minidl.manual_seed(args.seed)
        self.device = args.device
        self.model = recipe.model().to(self.device)
        fetching = {"num_workers": 1, "pin_memory": self.device.type == "cuda"}
        self.loader = DataLoader(trainset, batch_size, shuffle=True, **fetching)
        self.test_loader = DataLoader(testset, 500, **fetching)
        self.optimizer, self.schedule = recipe.optimizer(self.model, self.epochs * len(self.loader))
        self.criterion = nn.CrossEntropyLoss()
        # not yet on a GPU, where compiled steps wait for their first run
        self.learn = self._learn if self.device.type == "cuda" else minidl.compile(self._learn)
        self.settings = {
            "recipe": args.recipe,
            "epochs": self.epochs,
            "batch_size": batch_size,
            "seed": args.seed,
            "train_pictures": len(trainset),
        }
        self.file = args.checkpoint and args.checkpoint / "last.safetensors"
        self.epoch = 0
        self.seconds = 0.0
        self.history: list[dict] = []
        self.totals = Totals(self.device)

    def save(self) -> None:
        """Write all that a resumed run needs; an old checkpoint stays until this one is whole."""
        if self.file is None:
            return
        state = {
            "settings": self.settings,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "loader": self.loader.state_dict(),
            "random": minidl.get_rng_state(),
            "progress": [self.epoch, self.seconds, *self.totals.numbers()],
            "history": self.history,
        }
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            minidl.save(state, self.file)
        except OSError as error:
            sys.exit(f"\nstopped: {error}\nThe checkpoint before this one is whole: use --resume.")

    def resume(self) -> None:
        """Continue from the last checkpoint, if there is one."""
        if not self.file.exists():
            print(f"no checkpoint in {self.file.parent} yet: starting at the beginning")
            return
        try:
            state = minidl.load(self.file)
        except minidl.serialization.CheckpointError as error:
            sys.exit(f"cannot resume: {error}")
        if state["settings"] != self.settings:
            sys.exit(f"{self.file} is of a run with other settings: {state['settings']}")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.loader.load_state_dict(state["loader"])
        minidl.set_rng_state(state["random"])
        self.epoch, self.seconds, *totals = state["progress"]
        self.totals = Totals(self.device, *totals)
        self.history = state["history"]
        seen = self.totals.seen
        print(f"resumed from {self.file}: epoch {self.epoch + 1}, {seen} pictures into it")

    def train(self, stop: Stop) -> None:
        """Train to the last epoch, or until ``stop`` is set."""
        while self.epoch < self.epochs and not stop.requested:
            self.train_epoch(stop)
            if stop.requested:
                break
            loss, accuracy = self.totals.means()
            self.history.append(
                {
                    "loss": loss,
                    "train_accuracy": accuracy,
                    "test_accuracy": accuracy_of(self.evaluate()),
                }
            )
            self.epoch += 1
            self.totals = Totals(self.device)
            self.save()

    def train_epoch(self, stop: Stop) -> None:
        """One pass over the training pictures, or the rest of one."""
        self.model.train()
        total = self.settings["train_pictures"]
        clock = saved = time.perf_counter()
        shown = 0.0
        with progress_bar(f"epoch {self.epoch + 1}/{self.epochs}", total, self.totals.seen) as bar:
            for pictures, labels in self.loader:
                self.step(*self.moved(pictures, labels))
                last = self.totals.seen == total
                if last or clock - shown > bar.mininterval:  # seldom: it waits for the device
                    shown = clock
                    loss, accuracy = self.totals.means()
                    bar.set_postfix_str(f"loss {loss:.3f}, accuracy {accuracy:.1%}", refresh=False)
                bar.update(len(labels))
                now = time.perf_counter()
                self.seconds += now - clock
                if stop.requested:
                    break
                if now - saved > CHECKPOINT_SECONDS:
                    self.save()
                    now = saved = time.perf_counter()
                clock = now

    def moved(self, pictures: minidl.Tensor, labels: minidl.Tensor) -> tuple:
        """A batch on the device; from pinned memory it travels while the host goes on."""
        return tuple(part.to(self.device, non_blocking=True) for part in (pictures, labels))

    def step(self, pictures: minidl.Tensor, labels: minidl.Tensor) -> None:
        """One step of the optimizer."""
        logits, loss = self.learn(pictures, labels)
        self.schedule.step()
        self.totals.add(logits, loss, labels)

    def _learn(self, pictures: minidl.Tensor, labels: minidl.Tensor) -> tuple:
        self.optimizer.zero_grad()
        logits = self.model(pictures)
        loss = self.criterion(logits, labels)
        loss.backward()
        self.optimizer.step()
        return logits, loss

    def evaluate(self) -> np.ndarray:
        """The confusion matrix on the test pictures: rows are true classes."""
        self.model.eval()
        confusion = np.zeros((10, 10), np.int64)
        with minidl.no_grad():
            for pictures, labels in self.test_loader:
                (there, _) = self.moved(pictures, labels)
                predicted = self.model(there).argmax(1).cpu()
                np.add.at(confusion, (labels.numpy(), predicted.numpy()), 1)
        return confusion


class Totals:
    """What adds up over an epoch, kept on the device so that no step has to wait for it."""

    def __init__(
        self, device: minidl.Device, seen: int = 0, loss_sum: float = 0.0, correct: int = 0
    ):
        self.seen = seen
        self.loss_sum = minidl.tensor(loss_sum, dtype=minidl.float64, device=device).array
        self.correct = minidl.tensor(correct, device=device).array

    def add(self, logits: minidl.Tensor, loss: minidl.Tensor, labels: minidl.Tensor) -> None:
        """Count a batch."""
        self.seen += len(labels)
        self.loss_sum += loss.array * np.float64(len(labels))
        self.correct += (logits.array.argmax(1) == labels.array).sum()

    def numbers(self) -> tuple[int, float, int]:
        """Pictures seen, the sum of their losses, and how many were recognised."""
        return self.seen, self.loss_sum.item(), self.correct.item()

    def means(self) -> tuple[float, float]:
        """Loss and accuracy."""
        seen, loss_sum, correct = self.numbers()
        return loss_sum / seen, correct / seen


def accuracy_of(confusion: np.ndarray) -> float:
    """The share of pictures on the diagonal."""
    return float(confusion.trace() / confusion.sum())


class Stop:
    """Turns the first Ctrl-C (or SIGTERM) into a request, so that a step is never cut in two."""

    requested = False

    def __enter__(self) -> Stop:
        self.previous = [
            (s, signal.signal(s, self.request)) for s in (signal.SIGINT, signal.SIGTERM)
        ]
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self.previous:
            signal.signal(number, handler)

    def request(self, number: int, frame: FrameType | None) -> None:
        """Stop after this step; a second Ctrl-C stops at once."""
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True


def progress_bar(title: str, total: int, done: int) -> tqdm:
    """A bar in pictures, with rate and time left; sparse where the output is no terminal."""
    interval = 0.2 if sys.stderr.isatty() else 10.0
    return tqdm(
        desc=title, total=total, initial=done, unit=" img", unit_scale=True, mininterval=interval
    )


# --------------------------------------------------------------------------- the report


def report(run: Run, args: argparse.Namespace, data: str, classes: list[str]) -> None:
    """Print the accuracy, per class too; write the JSON file and the pictures."""
    confusion = run.evaluate()
    accuracy = accuracy_of(confusion)
    rate = run.settings["train_pictures"] * run.epochs / run.seconds
    per_class = confusion.diagonal() / np.maximum(confusion.sum(1), 1)
    print(f"\n{'class':12} accuracy")
    for name, share in zip(classes, per_class):
        print(f"{name:12} {share:7.1%}  {'#' * round(40 * share)}")
    print(f"\ntest accuracy {accuracy:.2%} on {confusion.sum():,} pictures ({data})")
    print(f"trained in {run.seconds:.1f} s, {rate:,.0f} pictures/s")
    if args.json:
        results = {
            **run.settings,
            "device": str(run.device),
            "test_accuracy": accuracy,
            "train_seconds": run.seconds,
            "images_per_second": rate,
            "data": data,
            "test_pictures": int(confusion.sum()),
            "class_accuracy": dict(zip(classes, per_class.tolist())),
            "history": run.history,
        }
        write_json(args.json, results)
    if figures is not None:
        folder = args.checkpoint or Path("runs") / f"cifar_cnn-{args.recipe}"
        filters = next(run.model.parameters()).detach().cpu().numpy()
        for file in figures.draw(folder, run.history, confusion, classes, filters):
            print(f"drew {file}")


def write_json(file: Path, results: dict) -> None:
    """Write all of it or nothing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(file.name + ".partial")
    partial.write_text(json.dumps(results, indent=2) + "\n")
    partial.replace(file)


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )

    def positive(text: str) -> int:
        if not text.isdigit() or int(text) == 0:
            raise argparse.ArgumentTypeError(f"wants a positive whole number, got {text!r}")
        return int(text)

    add = parser.add_argument
    add("--recipe", choices=RECIPES, default="article", help="default: %(default)s")
    add(
        "--data", type=Path, metavar="DIR", help="the folder that holds cifar-10-batches-py or -bin"
    )
    add("--epochs", type=positive, metavar="N", help="default: the recipe's")
    add("--batch-size", type=positive, metavar="N", help="default: the recipe's")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1 or emulator; %(default)s: a GPU")
    add("--seed", type=int, default=0, metavar="N", help="default: %(default)s")
    add("--limit-train", type=positive, metavar="N", help="train on the first N pictures only")
    add("--limit-test", type=positive, metavar="N", help="test on the first N pictures only")
    add("--checkpoint", type=Path, metavar="DIR", help="keep the last state of the run there")
    add("--resume", action="store_true", help="continue from the state in --checkpoint DIR")
    add("--json", type=Path, metavar="FILE", help="write the results to FILE")
    args = parser.parse_args(argv)
    if args.resume and args.checkpoint is None:
        parser.error("--resume needs --checkpoint DIR, the folder of the run to continue")
    try:
        args.device = chosen_device(args.device)
    except (ValueError, minidl.CudaUnavailable) as error:
        parser.error(str(error))
    return args


def chosen_device(name: str) -> minidl.Device:
    """The device called ``name``, on which something was put to see that it is there."""
    if name == "auto":
        return minidl.accelerator.current_accelerator() or minidl.device("cpu")
    return minidl.zeros(1, device=name).device


def main(argv: list[str] | None = None) -> int:
    """Train, report, and return the exit code."""
    args = arguments(argv)
    recipe = RECIPES[args.recipe]
    trainset, testset, data = load_data(recipe, find_cifar10(args.data))
    classes = trainset.classes
    run = Run(recipe, limited(trainset, args.limit_train), limited(testset, args.limit_test), args)
    parameters = sum(p.numel() for p in run.model.parameters())
    print(f"{args.recipe}: {parameters:,} parameters, {run.settings['train_pictures']:,} pictures")
    if args.resume:
        run.resume()
    with Stop() as stop:
        run.train(stop)
    if stop.requested:
        run.save()
        kept = f"; continue with --resume --checkpoint {args.checkpoint}" if run.file else ""
        print(f"stopped in epoch {run.epoch + 1}{kept}", file=sys.stderr)
        return 130
    report(run, args, data, classes)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # before the training, or a second one in it
        sys.exit("interrupted")

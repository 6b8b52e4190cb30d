"""A training run: epochs, checkpoints, and what it learned."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

import minidl
from minidl import nn
from minidl.recipes.data import on_device
from minidl.recipes.evaluation import accuracy_of, confusion_of
from minidl.recipes.recipe import Recipe
from minidl.recipes.stop import Stop
from minidl.utils.data import DataLoader, Dataset

CHECKPOINT_SECONDS = 20.0


class RunError(RuntimeError):
    """A run cannot go on: its message says why and what to do."""


class Run:
    """A training run that can be stopped between two steps and resumed to the same bits.

    Parameters
    ----------
    recipe : Recipe
        What is trained, and how.
    trainset, testset : Dataset
        Its pictures, transformed as the recipe has it.
    epochs, batch_size : int, optional
        In the place of the recipe's.
    seed : int
        Of the weights and of the order of pictures.
    device : Device or str
        Where it computes, and keeps the data sets if they fit: see `loader_on`.
    checkpoint : Path, optional
        A folder in which the last state of the run is kept.
    """

    def __init__(
        self,
        recipe: Recipe,
        trainset: Dataset,
        testset: Dataset,
        *,
        epochs: int | None = None,
        batch_size: int | None = None,
        seed: int = 0,
        device: minidl.Device | str = "cpu",
        checkpoint: Path | None = None,
    ):
        self.epochs = epochs or recipe.epochs
        batch_size = batch_size or recipe.batch_size
        minidl.manual_seed(seed)
        self.device = minidl.device(device)
        self.model = recipe.model().to(self.device)
        self.loader = loader_on(self.device, trainset, batch_size, shuffle=True)
        self.test_loader = loader_on(self.device, testset, 500)
        self.optimizer, self.schedule = recipe.optimizer(self.model, self.epochs * len(self.loader))
        self.criterion = nn.CrossEntropyLoss()
        self.learn = minidl.compile(self._learn)
        self.predict = minidl.compile(self.model)
        self.settings = {
            "recipe": recipe.name,
            "epochs": self.epochs,
            "batch_size": batch_size,
            "seed": seed,
            "train_pictures": len(trainset),
        }
        self.file = checkpoint and checkpoint / "last.safetensors"
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
            raise RunError(
                f"stopped: {error}\nThe checkpoint before this one is whole: the run can be resumed"
            ) from error

    def resume(self) -> None:
        """Continue from the last checkpoint, if there is one."""
        if not self.file.exists():
            print(f"no checkpoint in {self.file.parent} yet: starting at the beginning")
            return
        try:
            state = minidl.load(self.file)
        except minidl.serialization.CheckpointError as error:
            raise RunError(f"cannot resume: {error}") from error
        if state["settings"] != self.settings:
            raise RunError(f"{self.file} is of a run with other settings: {state['settings']}")
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
        """Move a batch to the device; out of pinned memory while the host goes on."""
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

        def forward(pictures: minidl.Tensor) -> minidl.Tensor:
            return self.predict(pictures.to(self.device, non_blocking=True))

        return confusion_of(forward, self.test_loader, 10)


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


def loader_on(
    place: minidl.Device, dataset: Dataset, batch_size: int, shuffle: bool = False
) -> DataLoader:
    """Load batches for ``place``: they are made there if it can keep the images.

    Then the host only draws random numbers and launches kernels, block by block, between steps.
    Otherwise a thread (or, for single samples, a process) makes batches on the host ahead of time.
    """
    kept = on_device(dataset, place)
    if kept is not dataset:
        return DataLoader(kept, batch_size, shuffle)
    return DataLoader(dataset, batch_size, shuffle, num_workers=1, pin_memory=place.type == "cuda")


def progress_bar(title: str, total: int, done: int) -> tqdm:
    """A bar in pictures, with rate and time left; sparse where the output is no terminal."""
    interval = 0.2 if sys.stderr.isatty() else 10.0
    return tqdm(
        desc=title, total=total, initial=done, unit=" img", unit_scale=True, mininterval=interval
    )

"""Pruning in steps: more and more during training, or in rounds that begin anew."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from minidl import nn
from minidl.compress.pruning.masks import Where, pruned, sparsity
from minidl.compress.pruning.methods import Score, global_unstructured, weights_of
from minidl.compress.pruning.scores import left, magnitude


class GradualPruning:
    """Prune more and more weights over the steps of a training run.

    ``sparsity(t) = final + (initial - final) * (1 - (t - begin) / (end - begin))**3``: fast while
    there is much to spare, slowly towards the end. Source: https://arxiv.org/abs/1710.01878

    Parameters
    ----------
    parameters : iterable of (Module, str)
        What is pruned, all together.
    final, initial : float
        The share of weights that are zero at the end and at the beginning.
    begin, end : int
        The first and the last step at which it changes.
    every : int
        Steps between changes.
    score : callable
        See `minidl.compress.pruning.methods.Score`.
    """

    def __init__(
        self,
        parameters: Iterable[Where],
        final: float,
        end: int,
        begin: int = 0,
        initial: float = 0.0,
        every: int = 1,
        score: Score = magnitude,
    ):
        if not 0 <= initial <= final <= 1 or not 0 <= begin < end or every < 1:
            raise ValueError(
                "wants 0 <= initial <= final <= 1, 0 <= begin < end and every >= 1, got "
                f"{initial=}, {final=}, {begin=}, {end=}, {every=}"
            )
        self.parameters = list(parameters)
        self.final, self.initial = final, initial
        self.begin, self.end, self.every = begin, end, every
        self.score = score
        self.steps = 0

    def wanted(self, step: int) -> float:
        """The share of zeros after ``step`` steps."""
        done = min(max((step - self.begin) / (self.end - self.begin), 0.0), 1.0)
        return self.final + (self.initial - self.final) * (1 - done) ** 3

    def step(self) -> None:
        """Call it once after each step of the optimizer."""
        self.steps += 1
        due = (self.steps - self.begin) % self.every == 0 or self.steps == self.end
        if self.begin <= self.steps <= self.end and due:
            prune_to(self.parameters, self.wanted(self.steps), self.score)


def prune_to(parameters: Iterable[Where], share: float, score: Score = magnitude) -> None:
    """Prune until this share of the weights is zero; nothing if it is already."""
    parameters = list(parameters)
    kept = [left(*where) for where in parameters]
    total, there = sum(each.size for each in kept), int(sum(each.sum() for each in kept))
    number = there - (total - round(share * total))
    if number > 0:
        global_unstructured(parameters, number, score)


def iterative_pruning(
    model: nn.Module,
    train: Callable[[nn.Module], None],
    amount: float = 0.2,
    rounds: int = 3,
    warm_up: Callable[[nn.Module], None] | None = None,
) -> list[float]:
    """Train, prune, go back to early weights, and again: the lottery ticket hypothesis.

    Parameters
    ----------
    model : Module
        Pruned in place.
    train : callable
        Trains the model from where it is to the end.
    amount : float
        The share of the remaining weights that goes each round.
    rounds : int
        How often; at the end the model is trained once more.
    warm_up : callable, optional
        Trains the model for a little while: what it has learnt then is what each round goes back
        to. By default it is the weights that the model comes with.

    Returns
    -------
    list of float
        The share of zeros after each round.

    Source: https://arxiv.org/abs/1803.03635, and https://arxiv.org/abs/1912.05671 for the warm-up
    """
    if warm_up is not None:
        warm_up(model)
    early = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    shares = []
    for _ in range(rounds):
        train(model)
        global_unstructured(weights_of(model), amount)
        rewind(model, early)
        shares.append(sparsity(pruned(model)))
    train(model)
    return shares


def rewind(model: nn.Module, state: dict) -> None:
    """Give a pruned model the values of a state dict from before it was pruned; masks stay."""
    masks = {name: t for name, t in model.state_dict().items() if name.endswith("_mask")}
    names = {name.removesuffix("_mask"): f"{name.removesuffix('_mask')}_orig" for name in masks}
    values = {names.get(name, name): tensor for name, tensor in state.items()}
    model.load_state_dict({**values, **masks})

"""Random numbers (C8, C13), computations that fail (C9), frozen objects (C12)."""

import gc
import random

import numpy as np

import minidl
from minidl import nn
from steps.faults.case import one, refused, silent


@silent
def c08_a_branch_by_random(compile):
    random.seed(9)  # three alike, and then another
    step = compile(lambda x: x * 2 if random.random() < 0.5 else x * 3)
    for i in range(8):
        yield step(one(i + 1))


@silent
def c08_a_branch_by_numpy(compile):
    np.random.seed(11)
    step = compile(lambda x: x * 2 if np.random.rand() < 0.5 else x * 3)
    for i in range(8):
        yield step(one(i + 1))


@silent
def c08_a_branch_by_a_generator_of_numpy(compile):
    rng = np.random.default_rng(0)
    step = compile(lambda x: x * 2 if rng.random() < 0.9 else x * 3)
    for i in range(20):
        yield step(one(i + 1))


@silent
def c08_a_rare_event(compile):
    random.seed(0)
    step = compile(lambda x: x * 2 if random.random() < 0.9 else x * 3)
    for i in range(20):
        yield step(one(i + 1))


@silent
def c08_a_choice(compile):
    generator = random.Random(0)
    step = compile(lambda x: {"a": x * 2, "b": x * 3}[generator.choice("aaab")])
    for i in range(20):
        yield step(one(i + 1))


@silent
def c09_a_failed_product_is_caught(compile):
    def step(x):
        try:
            return x @ minidl.ones(7, 7)
        except (ValueError, RuntimeError):
            return x * 2

    step = compile(step)
    for i in range(6):
        yield step(minidl.full((2, 3), float(i)))


@silent
def c09_a_failed_sum_is_caught(compile):
    def step(x):
        try:
            return x + minidl.ones(7)
        except (ValueError, RuntimeError):
            return x * 2

    step = compile(step)
    for i in range(6):
        yield step(minidl.full((2, 3), float(i)))


@silent
def c09_a_failed_change_is_caught(compile):
    total = minidl.zeros(2)

    def step(x):
        try:
            total.add_(minidl.ones(3))
        except (ValueError, RuntimeError):
            total.add_(x)
        return total * 1

    step = compile(step)
    for i in range(6):
        yield step(one(i)), total


@silent
def c12_a_variable_after_freezing(compile):
    factor = 2.0

    def step(x):
        return x * factor

    step = compile(step)
    gc.collect()
    gc.freeze()
    try:
        for i in range(3):
            yield step(one(i))
        factor = 7.0
        for i in range(3):
            yield step(one(i))
    finally:
        gc.unfreeze()


@refused
def c12_a_model_before_freezing(compile):
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    gc.collect()
    gc.freeze()
    try:
        step = compile(lambda x: model(x).detach())
        for i in range(4):
            yield step(minidl.tensor([[1.0, float(i)]]))
    finally:
        gc.unfreeze()


@silent
def c13_a_seed_inside(compile):
    def step(x):
        minidl.manual_seed(3)
        return x + minidl.rand(1)

    step = compile(step)
    for _ in range(5):
        yield step(one()), minidl.get_rng_state()


@silent
def c13_a_generator_is_seeded_inside(compile):
    model = nn.Dropout(0.5)

    def step(x):
        state = minidl.get_rng_state()
        minidl.set_rng_state(state)
        y = model(x)
        minidl.set_rng_state(state)
        return y

    step = compile(step)
    for _ in range(5):
        yield step(minidl.ones(8)), minidl.get_rng_state()

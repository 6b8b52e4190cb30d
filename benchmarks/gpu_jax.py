"""JAX on a GPU: the article's training step under ``jit``."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from typing import Any

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # the others need memory, too

import jax
import jax.numpy as jnp

from benchmarks.contenders import xla


def training_step(batches: list[tuple[Any, Any]]) -> Callable[[], Any]:
    """Forward, backward and update by SGD with momentum; the loss before it."""
    jax.config.update("jax_platforms", "cuda")
    jax.config.update("jax_default_matmul_precision", "highest")  # float32, as the others
    parameters = xla.article_parameters("article")
    state = parameters, {name: jnp.zeros_like(value) for name, value in parameters.items()}
    endless = itertools.cycle([tuple(map(jnp.asarray, pair)) for pair in batches])

    def run() -> Any:
        nonlocal state
        state, loss = xla.article_step(*state, *next(endless))
        return loss

    return run

"""Training steps as people write them, each with its calls and all that it may change."""

from steps import (
    accumulation,
    classification,
    finetuning,
    generative,
    keeping,
    optimizers,
    programs,
    reinforcement,
    representation,
    shapes_of_calls,
    trainers,
)
from steps.example import EXAMPLES, Compiling, difference, facts, run

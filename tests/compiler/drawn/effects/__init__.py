"""Programs about one thing each that a step depends on: an option, a hook, a mode, a builtin.

Where kinds, containers, scopes and readers are combined freely, each of these is a program of
its own: lines before the step (``local``), in it (``step``: from ``x`` to ``y``), at its end
(``after``), and the statements that change things (``changes``, with ``k`` for what the
schedule wants).
"""

from drawn.effects.absences import ABSENCES
from drawn.effects.arguments import ARGUMENTS
from drawn.effects.effect import Effect
from drawn.effects.language import COMBINED, LANGUAGE, MOVING
from drawn.effects.modes import MODES
from drawn.effects.modules import NETWORKS
from drawn.effects.tensors import TENSORS
from drawn.effects.training import OPTIMIZERS, SCHEDULERS

__all__ = ["EFFECTS", "MOVING", "Effect"]

EFFECTS = (
    *ABSENCES,
    *COMBINED,
    *OPTIMIZERS,
    *SCHEDULERS,
    *TENSORS,
    *NETWORKS,
    *MODES,
    *LANGUAGE,
    *ARGUMENTS,
)
"""All of them."""

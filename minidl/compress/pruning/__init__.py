"""Pruning: weights held at zero by masks, or channels removed for good.

`masks` and `methods` have the names of PyTorch's ``torch.nn.utils.prune``; `schedules` prunes in
steps; `structured` builds the network anew, smaller, along the dependencies that `channels` finds.
"""

from minidl.compress.pruning.masks import (
    custom_from_mask,
    is_pruned,
    prune_like,
    pruned,
    remove,
    sparsity,
)
from minidl.compress.pruning.methods import (
    global_unstructured,
    l1_unstructured,
    ln_structured,
    n_m_structured,
    random_structured,
    random_unstructured,
    weights_of,
)
from minidl.compress.pruning.schedules import (
    GradualPruning,
    iterative_pruning,
    prune_to,
    rewind,
)
from minidl.compress.pruning.scores import MovementScores, magnitude
from minidl.compress.pruning.structured import (
    filter_norms,
    prune_channels,
    prune_channels_to,
)

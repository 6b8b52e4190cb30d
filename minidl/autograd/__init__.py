"""Define-by-run reverse-mode differentiation.

``mode`` says whether operations are recorded, ``graph`` holds what was recorded,
``operator`` records, ``engine`` runs backward, ``inplace`` guards changes of memory,
``observer`` is how all that is watched, ``silence`` what NumPy may not say meanwhile.
"""

from minidl.autograd.engine import RemovableHandle, add_hook, backward, grad
from minidl.autograd.graph import (
    Leaf,
    Node,
    Spec,
    TensorBase,
    describe,
    replace_array,
    set_tensor_type,
    wrap,
)
from minidl.autograd.inplace import update_inplace
from minidl.autograd.mode import (
    change,
    enable_grad,
    is_grad_enabled,
    no_grad,
    observed_by,
    reading,
    run,
    set_grad_enabled,
)
from minidl.autograd.observer import Observer
from minidl.autograd.operator import fused, op, operators
from minidl.autograd.silence import quiet, silenced

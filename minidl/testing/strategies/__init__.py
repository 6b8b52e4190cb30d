"""Hypothesis strategies for the arguments of operators.

``arrays`` draws shapes and values, ``layouts`` the way they lie in memory, ``indices``
dimensions and indices, ``windows`` the configurations of convolution and pooling.
"""

from minidl.testing.strategies.arrays import (
    arrays,
    arrays_together,
    boolean_arrays,
    broadcastable_shapes,
    integer_arrays,
    shapes,
)
from minidl.testing.strategies.indices import (
    axes,
    basic_indices,
    boolean_indices,
    dims,
    indices,
    integer_indices,
)
from minidl.testing.strategies.layouts import LAYOUTS, layouts
from minidl.testing.strategies.windows import (
    ConvConfiguration,
    PoolConfiguration,
    conv_configurations,
    conv_transpose_configurations,
    pool_configurations,
)

"""Checks for operators: the project's own suite uses nothing else, and neither need yours.

`check_grads` compares gradients with numerical ones and needs only NumPy. What draws random
cases needs hypothesis: `minidl.testing.strategies`, `minidl.testing.samples`,
`minidl.testing.suite`. `minidl.testing.plugin` gives pytest the profiles. See
docs/testing.md.
"""

from minidl.testing.check_grads import check_grads

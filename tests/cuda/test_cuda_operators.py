"""Every operator's checks, its gradients among them, on the devices."""

import pytest
import samples
from hypothesis import given
from hypothesis import strategies as st

from minidl.testing.samples import registered
from minidl.testing.suite import check_operator

assert samples  # importing it has registered them

CASES = [
    pytest.param(case, id=f"{case.name}-{i}")
    for cases in registered.values()
    for i, case in enumerate(cases)
]


@pytest.mark.parametrize("case", CASES)
@given(data=st.data())
def test_operator(place, case, data):
    check_operator(case, data.draw(case.strategy, label=case.name), place)

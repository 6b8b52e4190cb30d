"""The networks of the CIFAR-10 example as a whole, on the devices."""

import pytest
from network_gradients import check_every_parameter

from minidl.recipes import ArticleNet, fast_net


@pytest.mark.parametrize("make", [ArticleNet, fast_net])
def test_gradient_of_every_parameter(place, make):
    check_every_parameter(make, place)

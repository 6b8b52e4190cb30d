"""The networks of the CIFAR-10 example as a whole, with each kernel set of the CPU."""

import pytest
from network_gradients import check_every_parameter

from minidl.kernels import use_kernels
from minidl.kernels.registry import SETS
from minidl.recipes import ArticleNet, fast_net


@pytest.mark.parametrize("kernel_set", SETS["cpu"])
@pytest.mark.parametrize("make", [ArticleNet, fast_net])
def test_gradient_of_every_parameter(make, kernel_set):
    with use_kernels(kernel_set):
        check_every_parameter(make)

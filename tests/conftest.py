"""What all tests share: the hypothesis profiles, and PyTorch where it is installed."""

import pytest

pytest_plugins = ["minidl.testing.plugin"]


@pytest.fixture(scope="session")
def torch():
    """PyTorch; a test that asks for it is skipped by name where it is missing."""
    return pytest.importorskip("torch")

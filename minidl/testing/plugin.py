"""A pytest plugin: the hypothesis profiles ``dev``, ``ci`` and ``thorough``.

Put ``pytest_plugins = ["minidl.testing.plugin"]`` into your top ``conftest.py`` and choose
with ``--minidl-profile`` or the environment variable ``MINIDL_PROFILE``. It is asked for
like this, and not installed as an entry point, so that other projects' test runs do not
import minidl, and so that pytest-cov sees minidl being imported.
"""

from __future__ import annotations

import os

import pytest

try:
    import hypothesis
except ImportError:  # the profiles are all this plugin has to do with it
    hypothesis = None

PROFILES = {
    "dev": {"max_examples": 10},
    "ci": {"max_examples": 10, "derandomize": True, "database": None, "print_blob": True},
    "thorough": {"max_examples": 500},
}
"""What each profile sets in hypothesis; none has a deadline, since first calls compile."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--minidl-profile``."""
    parser.addoption(
        "--minidl-profile",
        choices=sorted(PROFILES),
        default=None,
        help="hypothesis profile: how many examples, and whether they are the same every time "
        "(default: $MINIDL_PROFILE, or dev)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Load the chosen profile, if hypothesis is installed."""
    name = config.getoption("--minidl-profile") or os.environ.get("MINIDL_PROFILE", "dev")
    if name not in PROFILES:
        known = ", ".join(sorted(PROFILES))
        raise pytest.UsageError(f"MINIDL_PROFILE={name}: there is no such profile; known: {known}")
    if hypothesis is None:
        return
    for profile, options in PROFILES.items():
        hypothesis.settings.register_profile(f"minidl-{profile}", deadline=None, **options)
    hypothesis.settings.load_profile(f"minidl-{name}")

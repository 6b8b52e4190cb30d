"""What all tests share: the hypothesis profiles."""

pytest_plugins = ["minidl.testing.plugin"]

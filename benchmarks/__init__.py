"""Benchmarks: every figure beside a peer's, measured in the same run. None decides a test."""

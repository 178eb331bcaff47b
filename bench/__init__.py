"""Benchmarks: every figure of bench/README.md is printed, and written there, by a command of this package."""

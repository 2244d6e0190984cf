"""Benchmarks on real servers: `python -m benchmarks` brings up a stack of its own and measures against our bounds."""

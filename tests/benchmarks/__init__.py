"""Measurements beside peers: `python -m tests.benchmarks NAME [--data DIR]`.

A benchmark is a module here with `run(args) -> dict` and, where it has options, `add_arguments(parser)`. It prints its
table; the frame prints what it returns as one JSON object in the last line.
"""

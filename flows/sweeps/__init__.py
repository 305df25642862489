"""Sweeps over values and benchmarks over recipes and seeds; each of their runs is a DVC experiment."""

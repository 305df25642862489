"""Many runs: sweeps over values, benchmarks over recipes and seeds, each a DVC experiment."""

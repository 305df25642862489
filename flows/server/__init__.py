"""The Prefect server that a run reports to."""

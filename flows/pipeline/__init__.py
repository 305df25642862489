"""The pipeline as a Prefect flow: a task per stage, with states, logs, progress and cancel."""

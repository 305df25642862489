"""The pipeline: one folder per stage. Stages meet only through the artifacts in `stages.core.artifacts`."""

"""Tools beside the stage: scores of any folder, submission files, baselines."""

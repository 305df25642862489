"""What works without the pipeline: scores of any folder, submissions, baselines."""

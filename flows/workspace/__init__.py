"""DVC in this folder: its graph, its processes, one run at a time, scores and times of runs."""

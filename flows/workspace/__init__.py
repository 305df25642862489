"""The project folder as DVC's workspace: stage graph, processes, lock, scores and times of runs."""

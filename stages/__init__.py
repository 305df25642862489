"""The pipeline: one folder per stage. Stages meet only through the artifacts in `stages.core.artifacts`."""

import os

# Threads of OpenMP wait asleep for their next work, where they would keep a processor busy that others need: beside one
# busy process a training is 2.7 times as fast, on an idle machine as fast. Read when torch loads, so it stands here.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

"""Children that end with their parent."""

from __future__ import annotations

import subprocess
import sys

from tests.project.rooms import ROOT

LATE = """
import multiprocessing, os, time
from stages.core.parent import exit_with_parent

def child():
    time.sleep(1)
    exit_with_parent()
    time.sleep(60)

multiprocessing.get_context("fork").Process(target=child).start()
os._exit(0)
"""


def test_a_child_that_begins_after_its_parents_death_ends_too() -> None:
    """It holds the pipe that is waited for."""
    done = subprocess.run([sys.executable, "-c", LATE], cwd=ROOT, stdout=subprocess.PIPE, timeout=20, check=False)
    assert done.returncode == 0

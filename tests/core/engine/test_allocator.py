from __future__ import annotations

import os
import subprocess
import sys

import pytest

_FAULTS = """
import resource
from stages.core.engine.allocator import keep_freed_memory
keep_freed_memory()
for number in range(11):
    bytearray(b"x") * (1 << 26)
    if number == 0:
        first = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - first)
"""


def faults(**environment: str) -> int:
    told = subprocess.run(
        [sys.executable, "-c", _FAULTS], env=os.environ | environment, capture_output=True, text=True, check=True
    )
    return int(told.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc")
def test_memory_is_kept_unless_the_user_says_otherwise() -> None:
    kept, asked = faults(), faults(MALLOC_MMAP_THRESHOLD_="1000000")
    assert kept < 100 < asked

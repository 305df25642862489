"""`python used.py COMMAND` runs a command and prints the processor seconds and the largest memory in MiB that it took.

A program of its own, and small: what a process held when it started another one counts as that one's memory, too.
"""

import json
import os
import subprocess
import sys

if __name__ == "__main__":
    process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    print(json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]))
    sys.exit(os.waitstatus_to_exitcode(status) != 0)

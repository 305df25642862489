"""Runs dvc as `python -m flows.workspace.dvc_child ARGUMENTS`, and ends it, with its stage, when the parent is gone."""

import os
import signal
import sys

from stages.core.parent import exit_with_parent


def main() -> int:
    """Run dvc in a process group that is its own."""
    from dvc.cli import main as dvc

    exit_with_parent(_interrupt_group)
    sys.argv[0] = "dvc"
    return int(dvc(sys.argv[1:]))


def _interrupt_group() -> None:
    # As Ctrl-C would: the stage keeps its work and leaves, and dvc after it.
    os.killpg(os.getpgrp(), signal.SIGINT)


if __name__ == "__main__":
    sys.exit(main())

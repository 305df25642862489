"""Check of code.json."""

from __future__ import annotations

from flows.doctor.finding import Finding
from stages.core.errors import UserError
from stages.core.fingerprint import CODE_FILE, COMMAND, core_fingerprints, read_fingerprints


def check_code() -> Finding:
    """code.json is that of the code in the current folder."""
    try:
        is_true = read_fingerprints() == core_fingerprints()
    except UserError as error:
        return Finding("code", "not valid Python", str(error))
    found = "is that of" if is_true else "is not that of"
    return Finding("code", f"{CODE_FILE} {found} the code in stages/core", "" if is_true else COMMAND)

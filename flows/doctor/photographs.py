"""Check of the photographs that `data/` is linked to."""

from __future__ import annotations

from flows.doctor.finding import Finding
from flows.workspace.linked_data import compare_data
from stages.core.data import DATA
from stages.core.data_link import LINK
from stages.core.errors import UserError


def check_photographs() -> Finding:
    """Linked photographs can be read and are those that were linked."""
    try:
        found = compare_data()
    except UserError as error:
        return Finding("photographs", f"{LINK} leads to none", str(error))
    if found is None:
        return Finding("photographs", f"copies in {DATA}/" if DATA.is_dir() else f"no {DATA}/ yet")
    told = f"{found.now.files:,} files stay in {found.root}"
    return Finding("photographs", told, "" if found.is_equal else found.describe())

"""Downloads weights from the Hugging Face hub into a folder outside git, atomically."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import NamedTuple

from flows.weights.catalog import FILE, Offer
from stages.core.caches import user_cache
from stages.core.errors import UserError
from stages.core.hashing import hash_file

_SOURCE = "source.json"
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Source(NamedTuple):
    """Where a fetched file came from; lies beside it."""

    name: str
    repository: str
    revision: str
    sha256: str
    license: str


def weights_folder() -> Path:
    """Where weights are kept: LUSS_WEIGHTS, else `luss/weights` in the user's folder of caches."""
    given = os.environ.get("LUSS_WEIGHTS")
    return Path(given) if given else user_cache("weights")


def read_source(file: Path) -> Source | None:
    """Where a file was fetched from, or None if it was not."""
    try:
        return Source(**json.loads((file.parent / _SOURCE).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def fetch(offer: Offer, folder: Path) -> Path:
    """Path of the weights, downloaded unless they exist; resumes an interrupted download.

    Args:
        offer: Which.
        folder: Of all weights; the file comes into a folder of its own in it.

    Raises:
        UserError: The hub cannot be reached, does not give the file to everybody, or gave another one than it says; or
            the file that is there has changed since it was fetched.
    """
    file = folder / offer.name / FILE
    if (known := read_source(file)) and file.is_file():
        if hash_file(file) != known.sha256:
            raise UserError(f"{file}: has changed since it was fetched; delete it and run this again")
        return file
    revision, sha256 = _download(offer, file.parent)
    found = hash_file(file)
    if sha256 and found != sha256:
        file.unlink()
        raise UserError(
            f"{offer.repository}: the file that arrived has the sha256 {found}, not {sha256} as the hub says; it is "
            "deleted: run this again"
        )
    source = Source(offer.name, offer.repository, revision, found, offer.license)
    (file.parent / _SOURCE).write_text(json.dumps(source._asdict(), indent=2) + "\n")
    return file


def _download(offer: Offer, folder: Path) -> tuple[str, str]:
    """Bring the file into the folder; the revision, and its sha256 as the hub says it, empty if it does not."""
    from huggingface_hub import errors, get_hf_file_metadata, hf_hub_download, hf_hub_url

    endpoint, repository = os.environ.get("HF_ENDPOINT"), offer.repository
    try:
        found = get_hf_file_metadata(hf_hub_url(repository, FILE, endpoint=endpoint), endpoint=endpoint)
        revision = found.commit_hash or "main"
        hf_hub_download(repository, FILE, revision=revision, local_dir=folder, endpoint=endpoint)
    except Exception as error:
        # The HTTP library below is another in each version, and so are its errors; the hub's own begin with its base.
        if not isinstance(error, errors.HfHubHTTPError.__bases__):
            raise
        raise UserError(f"{repository}: {_explain(error, offer)}") from None
    return revision, found.etag if found.etag and _SHA256.fullmatch(found.etag) else ""


def _explain(error: Exception, offer: Offer) -> str:
    """What a hub that gives nothing means, and what to do."""
    from huggingface_hub import errors

    match error:
        case errors.GatedRepoError():
            return (
                f"given to those alone who have accepted its terms ({offer.license}): accept them at "
                f"https://huggingface.co/{offer.repository}, log in with `hf auth login`, and run this again"
            )
        case errors.RepositoryNotFoundError() | errors.RemoteEntryNotFoundError():
            return f"the hub has no {FILE} there, or not for you (`hf auth login`)"
        case errors.HfHubHTTPError():
            return f"the hub answers {error.response.status_code}; try again later"
        case errors.OfflineModeIsEnabled():
            return "HF_HUB_OFFLINE is set; unset it to fetch weights"
    reason = str(error).strip().partition("\n")[0]
    return (
        f"the hub cannot be reached, or broke off ({reason}); run this again, or fetch its {FILE} elsewhere and say "
        "`luss weights FILE`"
    )

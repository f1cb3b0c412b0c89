"""Published files from the Hugging Face hub, kept in its cache (``HF_HOME``); offline the cache alone is used.

``HF_ENDPOINT`` names a mirror, ``HF_HUB_OFFLINE=1`` forbids the network.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vivant.core.errors import MissingExtraError, WeightsError
from vivant.weights.loading import sha256

OFFLINE = "HF_HUB_OFFLINE"


@dataclass(frozen=True)
class HubFile:
    """A file of a repository. ``size`` in bytes and ``sha256`` are None where the hub does not tell them; ``path``:
    where it lies in the cache, None if it does not."""

    name: str
    size: int | None
    sha256: str | None
    path: Path | None


@dataclass(frozen=True)
class HubFacts:
    """What the hub (offline: the cache) says of some files of a repository. ``asked``: branch, tag or commit that was
    asked for; ``revision``: its commit; ``licence``: the tag on the model's card, empty if there is none."""

    repo: str
    asked: str | None
    revision: str | None
    licence: str
    files: tuple[HubFile, ...]


def cache_folder() -> Path:
    """Where downloaded files lie."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def is_offline() -> bool:
    """Whether the network is forbidden."""
    return os.environ.get(OFFLINE, "").lower() in ("1", "true", "yes", "on")


def hub_file(repo: str, filename: str, revision: str | None = None) -> Path:
    """Local path of ``filename`` in the hub repository ``repo``, downloaded once.

    Args:
        repo: for example ``"KwaiVGI/LivePortrait"``.
        filename: path inside the repository.
        revision: branch, tag or commit; None is the default branch.

    Raises:
        MissingExtraError: the package huggingface_hub is not installed.
        WeightsError: no such repository or file, or it is neither cached nor reachable.
    """
    hub = _client("Downloading published weights")
    where = f"{repo}/{filename}" + (f" at {revision}" if revision else "")
    with _sentences(where), _quiet():
        return Path(hub.hf_hub_download(repo, filename, revision=revision, **_local()))


def hub_facts(repo: str, files: Sequence[str], revision: str | None = None) -> HubFacts:
    """Ask for sizes, hashes and licence of ``files`` without fetching them; offline, what the cache holds.

    Raises:
        MissingExtraError: the package huggingface_hub is not installed.
        WeightsError: no such repository or file, or the hub cannot be reached; offline, a file that is not cached.
    """
    hub = _client("Asking for published weights")
    if is_offline():
        found = tuple(_from_disk(hub, repo, name, revision) for name in files)
        return HubFacts(repo, revision, None, "", found)
    with _sentences(repo), _quiet():
        info = hub.HfApi(endpoint=os.environ.get("HF_ENDPOINT")).model_info(
            repo, revision=revision, files_metadata=True
        )
    known = {item.rfilename: item for item in info.siblings or ()}
    missing = [name for name in files if name not in known]
    if missing:
        raise WeightsError(f"The hub has no {repo}/{missing[0]}: check the repository and file name.")
    card = info.card_data.to_dict() if info.card_data is not None else {}
    licence = card.get("license_name") if card.get("license") == "other" else card.get("license")
    told = tuple(_told(hub, repo, known[name], revision, info.sha) for name in files)
    return HubFacts(repo, revision, info.sha, str(licence or ""), told)


def fetch(facts: HubFacts, file: HubFile) -> Path:
    """The file of :func:`hub_facts`, downloaded if it is not cached (with a progress bar), its SHA-256 checked.

    Raises:
        WeightsError: as :func:`hub_file`, or the content differs from the hash that the hub told.
    """
    # by the name that was asked for, so that the cache finds it by that name again without the hub
    path = file.path or hub_file(facts.repo, file.name, facts.asked)
    if file.sha256 is not None and (found := sha256(path)) != file.sha256:
        raise WeightsError(
            f"{facts.repo}/{file.name} has the SHA-256 {found[:12]}…, the hub says {file.sha256[:12]}…: delete {path} "
            "and download it again."
        )
    return path


def _client(purpose: str) -> Any:
    try:
        import huggingface_hub
    except ImportError:
        raise MissingExtraError("huggingface_hub", "hub", purpose) from None
    return huggingface_hub


def _local() -> dict[str, Any]:
    """Arguments that forbid the network, if it is forbidden; the client reads the variable only when imported."""
    return {"local_files_only": True} if is_offline() else {}


def _from_disk(hub: Any, repo: str, name: str, revision: str | None) -> HubFile:
    path = hub_file(repo, name, revision)
    return HubFile(name, path.stat().st_size, sha256(path), path)


def _told(hub: Any, repo: str, item: Any, revision: str | None, commit: str | None) -> HubFile:
    found = hub.try_to_load_from_cache(repo, item.rfilename, revision=revision)
    cached = found if isinstance(found, str) and commit in Path(found).parts else None
    lfs = item.lfs
    digest = (lfs.get("sha256") if isinstance(lfs, dict) else getattr(lfs, "sha256", None)) if lfs else None
    return HubFile(item.rfilename, item.size, digest, Path(cached) if cached else None)


@contextmanager
def _sentences(where: str) -> Iterator[None]:
    """The client's errors as one sentence each."""
    from huggingface_hub import errors

    try:
        yield
    except errors.LocalEntryNotFoundError as error:  # also an EntryNotFoundError, so it comes first
        raise WeightsError(
            f"{where} is not in the local cache and the hub cannot be reached: connect once to download it, "
            "or give a folder that holds the weights."
        ) from error
    except (errors.RepositoryNotFoundError, errors.EntryNotFoundError, errors.HFValidationError) as error:
        raise WeightsError(f"The hub has no {where}: check the repository and file name.") from error
    except Exception as error:  # the client's transport errors differ between its versions
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise WeightsError(f"{where} could not be downloaded ({first}): try again later.") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the client's log lines of every attempt; what failed is said once, in the error."""
    log = logging.getLogger("huggingface_hub")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)

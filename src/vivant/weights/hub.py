"""Published files from the Hugging Face hub, kept in its cache (``HF_HOME``); offline the cache alone is used."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vivant.core.errors import MissingExtraError, WeightsError


def hub_file(repo: str, filename: str, revision: str | None = None) -> Path:
    """Local path of ``filename`` in the hub repository ``repo``, downloaded once.

    ``HF_HUB_OFFLINE=1`` forbids the network, ``HF_HOME`` moves the cache, ``HF_ENDPOINT`` names a mirror.

    Args:
        repo: for example ``"KwaiVGI/LivePortrait"``.
        filename: path inside the repository.
        revision: branch, tag or commit; None is the default branch.

    Raises:
        MissingExtraError: the package huggingface_hub is not installed.
        WeightsError: no such repository or file, or it is neither cached nor reachable.
    """
    try:
        from huggingface_hub import errors as hub_errors
        from huggingface_hub import hf_hub_download
    except ImportError:
        raise MissingExtraError("huggingface_hub", "hub", "Downloading published weights") from None
    where = f"{repo}/{filename}" + (f" at {revision}" if revision else "")
    try:
        with _quiet():
            return Path(hf_hub_download(repo, filename, revision=revision))
    except hub_errors.LocalEntryNotFoundError as error:  # also an EntryNotFoundError, so it comes first
        raise WeightsError(
            f"{where} is not in the local cache and the hub cannot be reached: connect once to download it, "
            "or give a folder that holds the weights."
        ) from error
    except (hub_errors.RepositoryNotFoundError, hub_errors.EntryNotFoundError, hub_errors.HFValidationError) as error:
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

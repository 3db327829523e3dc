"""The Hub's client, whose failures become sentences that say what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import HfApi
from huggingface_hub.errors import (
    DisabledRepoError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

import facesep
from facesep.errors import HubError


def client(token: str | bool | None = None) -> HfApi:
    """The Hub's client.

    Args:
        token: Hub token; the saved one by default, ``False`` for none.
    """
    return HfApi(token=token, library_name="facesep", library_version=facesep.__version__)


@contextmanager
def explain(repo_id: str, revision: str | None = None) -> Iterator[None]:
    """Turns every failure of the Hub's client into a sentence that says what to do."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 the client lets errors of its HTTP library through
        raise HubError(_message(error, repo_id, revision)) from error


def _message(error: BaseException, repo_id: str, revision: str | None) -> str:
    if isinstance(error, GatedRepoError):
        return f"{repo_id} asks for a request: visit its page on the Hub, then log in with `hf auth login`"
    if isinstance(error, RepositoryNotFoundError):
        return (
            f"{repo_id} does not exist or is private: check the name; for a private repository "
            "log in with `hf auth login` or pass token="
        )
    if isinstance(error, RevisionNotFoundError):
        return f"{repo_id} has no revision {revision or 'main'!r}: check the branch, tag or commit"
    if isinstance(error, DisabledRepoError):
        return f"{repo_id} has been disabled on the Hub: choose another checkpoint"
    if isinstance(error, HfHubHTTPError):
        return _http_message(error, repo_id)
    if isinstance(error, LocalEntryNotFoundError):
        if isinstance(error.__cause__, HfHubHTTPError):
            return _http_message(error.__cause__, repo_id)
        return (
            f"{repo_id} is not in the cache (or not complete) and the Hub cannot be reached: connect once to "
            "download it, unset HF_HUB_OFFLINE, set HF_ENDPOINT to a mirror, or give a local folder"
        )
    return f"the transfer with {repo_id} failed ({type(error).__name__}: {error}): try again"


def _http_message(error: HfHubHTTPError, repo_id: str) -> str:
    status = error.response.status_code
    if status in (401, 403):
        return (
            f"the Hub refuses access to {repo_id} ({status}): log in with `hf auth login` using a token "
            "that has the needed permission"
        )
    if status == 412:
        return f"{repo_id} was changed by somebody else meanwhile: fetch the latest state and push again"
    if status == 429 or status >= 500:
        return f"the Hub cannot serve {repo_id} at the moment ({status}): try again in a few minutes"
    return f"the Hub refused the request for {repo_id} ({status}): {error.server_message or error}"

"""Content Credentials (C2PA): a signature that says who made a file, when somebody has a key for it.

Signing happens when two environment variables name PEM files: ``FACESEP_C2PA_CERTIFICATE``, the chain
that begins with the signer's own certificate, and ``FACESEP_C2PA_KEY``, its private key (PKCS #8).
``FACESEP_C2PA_ALGORITHM`` is that of the key, ``es256`` unless given. It needs ``facesep[provenance]``.
Nothing is sent anywhere: no time stamp is asked for, and no certificate is looked up when files are read.

A signature shows that a file is as its signer left it. Who the signer is, and whether to believe them, is for
the reader to judge: certificates are not checked against a list of trusted ones.
"""

from __future__ import annotations

import io
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facesep.errors import ConfigError

CERTIFICATE, KEY, ALGORITHM = "FACESEP_C2PA_CERTIFICATE", "FACESEP_C2PA_KEY", "FACESEP_C2PA_ALGORITHM"
"""Environment variables that switch signing on."""
MIME_TYPES = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "mp4": "video/mp4",
}

_SETTINGS = {"builder": {"thumbnail": {"enabled": False}}, "verify": {"remote_manifest_fetch": False}}
_VALID = ("Valid", "Trusted")


@dataclass(frozen=True)
class Credential:
    """What a valid signature says.

    Attributes:
        software: name and version of the program that made the file.
        signer: who signed it, as their certificate calls them.
    """

    software: str
    signer: str


def configured() -> bool:
    """Whether results shall be signed."""
    return bool(os.environ.get(CERTIFICATE) or os.environ.get(KEY))


def sign(data: bytes, format: str, software: tuple[str, str], source_type: str) -> bytes:
    """Signs a file with the configured key.

    Args:
        data: the file.
        format: one of ``MIME_TYPES``.
        software: name and version.
        source_type: IPTC digital source type of the content.

    Raises:
        ConfigError: if c2pa-python is missing, or the key or certificate cannot be used.
    """
    try:
        import c2pa
    except ImportError as error:
        raise ConfigError(
            f'signing needs c2pa-python: pip install "facesep[provenance]", or unset {CERTIFICATE} and {KEY}'
        ) from error
    manifest = {
        "claim_generator_info": [dict(zip(("name", "version"), software, strict=True))],
        "assertions": [
            {
                "label": "c2pa.actions.v2",
                "data": {"actions": [{"action": "c2pa.created", "digitalSourceType": source_type}]},
            }
        ],
    }
    certificate, key = _pem(CERTIFICATE), _pem(KEY)
    signed = io.BytesIO()
    try:
        algorithm = os.environ.get(ALGORITHM) or "es256"
        signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(algorithm, certificate, key, None))
        with c2pa.Builder(json.dumps(manifest), _context(c2pa)) as builder:
            builder.sign(signer, MIME_TYPES[format], io.BytesIO(data), signed)
    except (c2pa.C2paError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ConfigError(f"cannot sign with {CERTIFICATE} and {KEY}: {reason}") from error
    return signed.getvalue()


def read(data: bytes, format: str) -> Credential | None:
    """The valid signature of a file; None without one, or without c2pa-python.

    Args:
        data: the file.
        format: one of ``MIME_TYPES``.
    """
    try:
        import c2pa
    except ImportError:
        return None
    try:
        with c2pa.Reader(MIME_TYPES[format], io.BytesIO(data), context=_context(c2pa)) as reader:
            report = json.loads(reader.json())
        manifest = report["manifests"][report["active_manifest"]]
        if report.get("validation_state") not in _VALID:
            return None
        maker = manifest["claim_generator_info"][0]
        signer = manifest.get("signature_info") or {}
        return Credential(
            f"{maker.get('name', '')} {maker.get('version', '')}".strip(),
            str(signer.get("common_name") or signer.get("issuer") or "unknown"),
        )
    except (c2pa.C2paError, ValueError, KeyError, IndexError, AttributeError, TypeError):
        return None  # files from strangers: what cannot be read is no signature


def _context(c2pa: Any) -> Any:
    return c2pa.Context(c2pa.Settings.from_dict(_SETTINGS))


def _pem(variable: str) -> bytes:
    path = os.environ.get(variable)
    if not path:
        raise ConfigError(f"signing needs both {CERTIFICATE} and {KEY}: {variable} is not set")
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read the file that {variable} names ({error.strerror})") from error

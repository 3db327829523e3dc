"""Signatures with a key of our own: they are found, damage is noticed, and nothing is signed unasked."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import facesep
from facesep import credentials
from facesep.errors import ConfigError
from facesep.provenance import encode, verify, write_image, write_video

pytest.importorskip("c2pa")
OPENSSL = shutil.which("openssl")
pytestmark = pytest.mark.skipif(OPENSSL is None, reason="needs openssl to make a key")

EXTENSIONS = """basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=emailProtection
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
"""


def picture() -> Image.Image:
    generator = np.random.default_rng(0)
    return Image.fromarray(generator.integers(60, 200, (160, 160, 3)).astype(np.uint8))


@pytest.fixture(scope="module")
def keys(tmp_path_factory) -> tuple[Path, Path]:
    """A certificate chain and its key."""
    folder = tmp_path_factory.mktemp("keys")

    def openssl(*arguments: str) -> None:
        subprocess.run([OPENSSL, *arguments], cwd=folder, check=True, capture_output=True)

    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    authority = ("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")
    openssl(
        "req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/O=Test/CN=Root", *authority
    )
    openssl("req", *new, "-keyout", "leaf.key", "-out", "leaf.csr", "-subj", "/O=Test/CN=Studio Anna")
    (folder / "extensions").write_text(EXTENSIONS)
    signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "extensions")
    openssl("x509", "-req", "-in", "leaf.csr", *signing, "-days", "2", "-out", "leaf.pem")
    chain = folder / "chain.pem"
    chain.write_text((folder / "leaf.pem").read_text() + (folder / "ca.pem").read_text())
    return chain, folder / "leaf.key"


@pytest.fixture
def configured(keys, monkeypatch) -> None:
    monkeypatch.setenv(credentials.CERTIFICATE, str(keys[0]))
    monkeypatch.setenv(credentials.KEY, str(keys[1]))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_results_are_signed_and_damage_is_noticed(configured, tmp_path, suffix):
    path = write_image(picture(), tmp_path / f"a{suffix}")
    found = verify(path)
    assert found.how == ("label", "watermark", "signature")
    assert (found.version, found.signed_by) == (facesep.__version__, "Studio Anna")
    assert "signed by 'Studio Anna'" in str(found)
    data = bytearray(path.read_bytes())
    place = len(data) - 2000
    data[place : place + 64] = bytes(64)
    assert credentials.read(bytes(data), {".jpg": "jpeg"}.get(suffix, suffix[1:])) is None


def test_videos_are_signed(configured, tmp_path):
    path = write_video([picture()] * 4, tmp_path / "a.mp4")
    assert verify(path).signed_by == "Studio Anna" and "label" in verify(path).how
    assert [one.name for one in tmp_path.iterdir()] == ["a.mp4"]


def test_nothing_is_signed_without_a_key(keys, tmp_path):
    assert not credentials.configured()
    data = encode(picture())
    assert credentials.read(data, "png") is None and verify(data).signed_by is None


def test_the_signature_of_others_is_not_ours(configured):
    data = credentials.sign(
        encode(picture(), marked=False), "png", ("other", "1.0.0"), "http://example.org/x"
    )
    assert credentials.read(data, "png") == credentials.Credential("other 1.0.0", "Studio Anna")
    found = verify(data)  # two signatures; the last one counts
    assert "signature" not in found.how and found.signed_by is None


def test_wrong_keys_are_named(keys, tmp_path, monkeypatch):
    monkeypatch.setenv(credentials.CERTIFICATE, str(keys[0]))
    with pytest.raises(ConfigError, match="FACESEP_C2PA_KEY is not set"):
        encode(picture())
    monkeypatch.setenv(credentials.KEY, str(tmp_path / "missing.key"))
    with pytest.raises(ConfigError, match="cannot read the file"):
        encode(picture())
    (tmp_path / "bad.key").write_text("no key")
    monkeypatch.setenv(credentials.KEY, str(tmp_path / "bad.key"))
    with pytest.raises(ConfigError, match="cannot sign"):
        encode(picture())


@pytest.mark.parametrize("data", [b"", b"hello", b"\x89PNG\r\n\x1a\n", bytes(1000)])
def test_what_cannot_be_read_is_no_signature(data):
    for format in credentials.MIME_TYPES:
        assert credentials.read(data, format) is None

"""The bundled checkpoint goes to the Hub by one command, with its card and numbers."""

from __future__ import annotations

import sys

import pytest
from fakehub import TOKEN

from facesep import FaceSep
from facesep.train.push import main


@pytest.mark.slow
def test_the_bundled_checkpoint_by_one_command(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    out = tmp_path / "release"
    words = ["push.py", "--dtype", "float16", "--out", str(out), "--repo", "ada/faces"]
    monkeypatch.setattr(sys, "argv", words)
    main()
    repo = hub.repos["ada/faces"]
    card = repo.commits[repo.branches["main"]]["README.md"].data.decode()
    assert 'library_name: "facesep"' in card and 'from_pretrained("ada/faces")' in card
    assert "Representation" in card and "user/repo" not in card
    assert FaceSep.from_pretrained("ada/faces", token=TOKEN).extras["eval"]["tables"]

"""The bundled checkpoint goes to the Hub by one command, with its card and numbers."""

from __future__ import annotations

import sys

import pytest
import yaml
from fakehub import TOKEN

from facesep import FaceSep
from facesep.errors import ConfigError
from facesep.hub.space import push_space
from facesep.train.push import main


@pytest.mark.slow
def test_the_bundled_checkpoint_by_one_command(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    out = tmp_path / "release"
    words = ["push.py", "--dtype", "float16", "--out", str(out), "--repo", "ada/faces", "--space", "ada/demo"]
    monkeypatch.setattr(sys, "argv", words)
    main()
    repo = hub.repos["ada/faces"]
    card = repo.commits[repo.branches["main"]]["README.md"].data.decode()
    assert 'library_name: "facesep"' in card and 'from_pretrained("ada/faces")' in card
    assert "Representation" in card and "user/repo" not in card
    assert FaceSep.from_pretrained("ada/faces", token=TOKEN).extras["eval"]["tables"]
    space = hub.repos["spaces/ada/demo"]
    files = space.commits[space.branches["main"]]
    assert {"app.py", "requirements.txt", "LICENSE", "facesep/demo/ui.py"} <= set(files)
    assert not any("__pycache__" in name for name in files)
    metadata = yaml.safe_load(files["README.md"].data.decode().split("---\n")[1])
    assert metadata["models"] == ["ada/faces"] and metadata["sdk"] == "gradio"
    assert space.variables == {"FACESEP_CHECKPOINT": "ada/faces"}


def test_a_space_needs_a_clone_and_a_checkpoint(tmp_path, monkeypatch, capsys):
    with pytest.raises(ConfigError, match="clone of the project"):
        push_space(tmp_path, "ada/demo", "ada/faces")
    monkeypatch.setattr(sys, "argv", ["push.py", "--out", str(tmp_path / "x"), "--space", "ada/demo"])
    with pytest.raises(SystemExit):
        main()
    assert "--space needs --repo" in capsys.readouterr().err

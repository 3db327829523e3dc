"""What a report says of its origin tells others how to get it again, and nothing of private folders."""

from __future__ import annotations

from pathlib import Path

from facesep import environment


def test_commands_keep_private_paths_to_themselves():
    script = Path(environment.__file__).parents[1] / "eval" / "speed.py"
    words = [
        str(script),
        "--shards",
        str(Path.home() / "data" / "portraits"),
        "--out",
        "a b.json",
        "--x",
        "1",
    ]
    assert environment.command(words) == "python eval/speed.py --shards portraits --out 'a b.json' --x 1"
    nested = ["eval/expression.py", "--landmarks", f"{Path.home()}/venv/bin/python marks.py"]
    assert environment.command(nested) == "python eval/expression.py --landmarks 'python marks.py'"


def test_commits_of_real_checkouts_only(monkeypatch, tmp_path):
    (tmp_path / "facesep").mkdir()
    monkeypatch.setattr(environment.facesep, "__file__", str(tmp_path / "facesep" / "__init__.py"))
    assert environment.commit() is None

"""The notebook runs from its first cell to its last, and is small as it is committed."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from facesep.provenance import verify

NOTEBOOK = Path(__file__).resolve().parents[1] / "docs" / "notebook.ipynb"


def test_it_is_committed_without_outputs():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    codes = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(codes) > 5 and not any(cell["outputs"] or cell["execution_count"] for cell in codes)
    assert NOTEBOOK.stat().st_size < 50_000


@pytest.mark.slow
def test_it_runs(tmp_path, monkeypatch):
    import nbclient
    import nbformat

    monkeypatch.setenv("FACESEP_NOTEBOOK", "quick")
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    book = nbformat.read(NOTEBOOK, as_version=4)
    client = nbclient.NotebookClient(book, timeout=300, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()  # the first error of a cell is raised
    for name in ("face.jpg", "yaw-25.jpg", "orbit.mp4", "after.jpg"):
        assert verify(tmp_path / name).made_by_facesep, name
    assert (tmp_path / "before.jpg").read_bytes() != (tmp_path / "after.jpg").read_bytes()
    outputs = [output for cell in book.cells for output in cell.get("outputs", ())]
    shown = [kind for output in outputs for kind in output.get("data", ())]
    assert shown.count("image/jpeg") == 8 and "text/html" in shown
    nbformat.write(book, tmp_path / "run.ipynb")
    assert (tmp_path / "run.ipynb").stat().st_size < 500_000

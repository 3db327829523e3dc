"""Keeps every test off the network and out of the user's caches."""

import os
import socket
import sys
import tempfile
import time
from pathlib import Path

# huggingface_hub reads these when it is imported, so they are set before anything else. The port is
# reserved but nobody listens on it: without the `hub` fixture every request is refused at once.
_reserved = socket.socket()
_reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
_reserved.bind(("127.0.0.1", 0))
HUB_PORT = _reserved.getsockname()[1]

_home = tempfile.TemporaryDirectory(prefix="facesep-tests-")
os.environ["HF_ENDPOINT"] = f"http://127.0.0.1:{HUB_PORT}"
os.environ["HF_HOME"] = _home.name
os.environ["HF_HUB_DISABLE_XET"] = "1"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
    os.environ.pop(name, None)
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 0)):  # of `pytest -n`: they share the cores
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, str(max(1, (os.cpu_count() or 1) // workers)))

import pytest  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent / "hub"))  # for fakehub


@pytest.fixture
def hub(monkeypatch, tmp_path: Path):
    """A running loopback Hub with its own empty cache; see tests/hub/fakehub.py."""
    import huggingface_hub
    from fakehub import FakeHub

    endpoint = f"http://127.0.0.1:{HUB_PORT}"
    assert endpoint == huggingface_hub.constants.ENDPOINT, "huggingface_hub was imported before conftest"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(min(seconds, 0.01)))  # the client's retries
    with FakeHub(port=HUB_PORT) as server:
        yield server
    huggingface_hub.close_session()


@pytest.fixture(scope="session")
def sep():
    """A tiny model with random weights: enough to tell one face from another."""
    import torch

    from facesep import FaceSep
    from facesep.config import preset

    torch.manual_seed(0)
    return FaceSep(preset("tiny"))


@pytest.fixture(scope="session")
def photos() -> list[Path]:
    """The bundled example photos."""
    return sorted((Path(__file__).parents[1] / "facesep" / "assets" / "examples").glob("*.jpg"))

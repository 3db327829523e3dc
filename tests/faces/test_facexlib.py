"""The adapters over facexlib, with random weights in files of the official names and layouts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from facesep.faces.parsing import _BISENET_TO_CLASSES, FILES, parse
from facesep.faces.retinaface import FILES as DETECTORS
from facesep.faces.retinaface import detect

pytest.importorskip("facexlib")
PHOTO = Path(__file__).parents[1] / "data" / "photos" / "london_101.jpg"


@pytest.mark.slow
def test_bisenet_is_fed_and_read_as_it_was_trained(tmp_path: Path) -> None:
    from facexlib.parsing.bisenet import BiSeNet

    torch.manual_seed(0)
    network = BiSeNet(num_class=19).eval()
    torch.save(network.state_dict(), tmp_path / FILES["bisenet"])
    image = Image.open(PHOTO).convert("RGB").resize((512, 512))
    labels = parse(image, "bisenet", tmp_path)
    values = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255
    mean, std = torch.tensor((0.485, 0.456, 0.406)), torch.tensor((0.229, 0.224, 0.225))
    with torch.inference_mode():
        wanted = network((values - mean[:, None, None]) / std[:, None, None])[0].argmax(1)[0]
    assert np.array_equal(labels, _BISENET_TO_CLASSES[wanted].numpy())
    assert len(np.unique(labels)) > 1
    assert parse(image.resize((200, 300)), "bisenet", tmp_path).shape == (300, 200)


@pytest.mark.slow
def test_parsenet_is_fed_and_read_as_it_was_trained(tmp_path: Path) -> None:
    from facexlib.parsing.parsenet import ParseNet

    torch.manual_seed(0)
    network = ParseNet(in_size=512, out_size=512, parsing_ch=19).eval()
    torch.save(network.state_dict(), tmp_path / FILES["parsenet"])
    image = Image.open(PHOTO).convert("RGB").resize((512, 512))
    labels = parse(image, "parsenet", tmp_path)
    values = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.inference_mode():
        wanted = network(values)[0].argmax(1)[0].numpy()
    assert (labels == wanted).mean() > 0.999


@pytest.mark.slow
def test_retinaface_rows_become_faces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The official layout of a row: box, score, then five points as x and y."""
    from facexlib.detection.retinaface import RetinaFace

    name = "retinaface_mobile0.25"
    torch.save(RetinaFace(network_name="mobile0.25", device="cpu").state_dict(), tmp_path / DETECTORS[name])
    image = Image.open(PHOTO).convert("RGB")
    detect(image, name, tmp_path)  # random weights: it runs; what it finds does not matter
    small = (30, 40, 60, 80, 0.9, 40, 52, 50, 52, 45, 60, 41, 70, 49, 70)
    large = (100, 90, 200, 220, 0.99, 130, 130, 170, 131, 150, 155, 135, 185, 165, 184)
    seen = {}

    def answer(self: RetinaFace, bgr: np.ndarray, threshold: float) -> np.ndarray:
        seen["pixel"] = bgr[5, 7]
        return np.array((small, large), np.float32)

    monkeypatch.setattr(RetinaFace, "detect_faces", answer)
    faces = detect(image, name, tmp_path)
    assert tuple(seen["pixel"][::-1]) == image.getpixel((7, 5))
    assert [face.box for face in faces] == [large[:4], small[:4]]
    np.testing.assert_array_equal(faces[0].points[4], (165, 184))
    assert faces[0].score == pytest.approx(0.99) and abs(faces[0].yaw) < 10

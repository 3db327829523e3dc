"""The bundled face parser: shapes, export, folding, and what it says about real photos."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from facesep.data.labels import choose_maps, shard_labels
from facesep.errors import CheckpointError
from facesep.faces import parsing
from facesep.faces.crop import Crop
from facesep.nets.face_parser import CLASSES, FaceParser, head_probability

PHOTOS = Path(__file__).parents[1] / "data" / "photos"
TRUTH = json.loads((PHOTOS / "landmarks.json").read_text())
NAMES = sorted(TRUTH)


def crop_of(name: str, size: int = 256) -> tuple[torch.Tensor, np.ndarray]:
    """The canonical crop ``Tensor[1, 3, S, S]`` and its labels, 0 outside the photo."""
    crop = Crop.from_points(np.array(TRUTH[name]["points"]))
    image = crop.apply(Image.open(PHOTOS / name).convert("RGB"), size)
    labels = Image.open(PHOTOS.with_name("photo_labels") / Path(name).with_suffix(".png"))
    labels = crop.apply(labels, size, fill=0, resample=Image.NEAREST)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255, np.array(labels)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def test_the_file_is_small_and_in_half_precision() -> None:
    path = resources.files("facesep") / "assets" / "parser" / "parser.safetensors"
    data = path.read_bytes()
    assert len(data) < 2_000_000
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert {entry["dtype"] for key, entry in header.items() if key != "__metadata__"} == {"F16"}
    assert header["__metadata__"]["classes"] == ",".join(CLASSES)


@pytest.mark.parametrize("name", NAMES)
def test_parts_of_real_photos(name: str) -> None:
    image, labels = crop_of(name)
    probabilities = parsing.face_probabilities(image)
    assert probabilities.shape == (1, len(CLASSES), 256, 256)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(1, 256, 256))
    found = probabilities[0].argmax(0).numpy()
    assert overlap(np.isin(found, (1, 4, 5, 6, 7)), labels == 1) > 0.88
    assert overlap(found == 2, labels == 2) > 0.78
    head = head_probability(probabilities)[0, 0].numpy() > 0.5
    assert overlap(head, np.isin(labels, (1, 2))) > 0.9


@pytest.mark.parametrize("name", NAMES)
def test_eyes_and_mouth_lie_at_the_landmarks(name: str) -> None:
    """The middle of the eyes and of the lips is that of the annotated points, within 3 % of the side."""
    image, _ = crop_of(name)
    points = Crop.from_points(np.array(TRUTH[name]["points"])).to_canonical(
        np.array(TRUTH[name]["points"]), 256
    )
    found = parsing.face_probabilities(image)[0].argmax(0).numpy()
    for parts, middle in ((("eyes",), points[:2].mean(0)), (("lips", "mouth"), points[3:].mean(0))):
        rows, columns = np.nonzero(np.isin(found, [CLASSES.index(part) for part in parts]))
        assert np.linalg.norm((columns.mean() - middle[0], rows.mean() - middle[1])) < 0.03 * 256


def test_a_mirrored_photo_gives_nearly_the_mirrored_labels() -> None:
    image, _ = crop_of(NAMES[0])
    straight = parsing.face_probabilities(image).argmax(1)
    mirrored = parsing.face_probabilities(image.flip(-1)).argmax(1).flip(-1)
    assert (straight == mirrored).float().mean() > 0.97


def test_other_sizes_work() -> None:
    image, _ = crop_of(NAMES[0], 512)
    assert parsing.face_probabilities(image).shape == (1, len(CLASSES), 512, 512)
    assert parsing.face_probabilities(image[..., :192, :320]).shape == (1, len(CLASSES), 192, 320)


def test_batches_equal_items_and_types_agree() -> None:
    images = torch.cat([crop_of(name)[0] for name in NAMES])
    together = parsing.face_probabilities(images)
    for index in range(len(images)):
        torch.testing.assert_close(
            together[index : index + 1],
            parsing.face_probabilities(images[index : index + 1]),
            atol=1e-4,
            rtol=0,
        )
    exact = parsing.face_probabilities(images.double())
    assert exact.dtype == torch.float64
    torch.testing.assert_close(together.double(), exact, atol=1e-3, rtol=0)
    assert parsing.face_probabilities(images[:1].bfloat16()).dtype == torch.bfloat16
    assert parsing.bundled_parser() is parsing.bundled_parser()


def test_folding_changes_nothing() -> None:
    """The network as it was trained, with its normalisations, says the same."""
    torch.manual_seed(0)
    network = FaceParser().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.3, 0.3)
            module.running_var.uniform_(0.5, 2)
    images = torch.rand(2, 3, 64, 128)
    wanted = network(images)
    assert wanted.shape == (2, len(CLASSES), 64, 128)
    torch.testing.assert_close(parsing.folded(network)(images), wanted, atol=1e-4, rtol=1e-4)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def test_gradients_reach_the_image() -> None:
    image = crop_of(NAMES[0])[0].requires_grad_()
    head_probability(parsing.face_probabilities(image)).sum().backward()
    assert image.grad.isfinite().all() and image.grad.abs().sum() > 0


def test_a_damaged_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    parsing.bundled_parser.cache_clear()
    monkeypatch.setattr(parsing.resources, "files", lambda package: tmp_path)
    with pytest.raises(CheckpointError, match="parser.safetensors"):
        parsing.bundled_parser()


def test_it_labels_crops_for_data_preparation() -> None:
    maps = choose_maps("bundled", None, None, "celebamask")
    image, labels = crop_of(NAMES[0], 200)
    picture = Image.fromarray((image[0].permute(1, 2, 0) * 255).round().byte().numpy())
    found = shard_labels(maps.crop(NAMES[0], picture, Crop(0, 0, 200), picture))
    assert found.shape == (200, 200) and set(np.unique(found)) <= {0, 1, 2, 3}
    assert overlap(np.isin(found, (1, 2)), np.isin(labels, (1, 2))) > 0.9


def test_the_exported_graph_says_the_same(tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from facesep.backends.exporter import write
    from facesep.backends.parts import Part

    image, _ = crop_of(NAMES[0])
    network = parsing.bundled_parser()
    path = write(Part("parser", network, {"images": image}, ("logits",), network, None), tmp_path)
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    logits = torch.from_numpy(session.run(None, {"images": image.numpy()})[0])
    torch.testing.assert_close(logits, network(image), atol=1e-3, rtol=1e-3)

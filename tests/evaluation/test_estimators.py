"""Attribute estimators: imported R-Net, checkpoint encoders and the open analysis."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from analysis_model import synthetic_model

from facesep import FaceSep
from facesep.analysis.labels import Labels
from facesep.analysis.landmarks import MEDIAPIPE_68
from facesep.analysis.lighting import WHITE, shading
from facesep.analysis.texture import LIGHT_SHARE, Samples
from facesep.camera import project
from facesep.errors import CheckpointError, ConfigError
from facesep.evaluation.estimators import PARTS, cosine, factors
from facesep.evaluation.open_analysis import OpenAnalysis, split_light
from facesep.evaluation.options import build_estimator
from facesep.nets.crops import deep3d_crop
from facesep.nets.files import write_network
from facesep.nets.official.rnet import RNet


def test_cosine_of_known_vectors():
    a = np.array([[1.0, 0.0], [2.0, 2.0], [0.0, 0.0]])
    b = np.array([[0.0, 3.0], [1.0, 1.0], [1.0, 0.0]])
    np.testing.assert_allclose(cosine(a, b), [0, 1, np.nan], atol=1e-12)


def test_deep3d_gives_the_slices_of_the_coefficients(tmp_path):
    torch.manual_seed(0)
    net = RNet().eval()
    write_network(tmp_path / "rnet.safetensors", "rnet", net.state_dict())
    found = build_estimator(f"deep3d={tmp_path / 'rnet.safetensors'}")
    images = torch.rand(2, 3, 64, 64)
    read = found.estimate(images)
    with torch.no_grad():
        flat = net(deep3d_crop(images)).numpy()
    joined = [read[k] for k in ("shape", "expression", "texture", "rotation", "illumination", "translation")]
    np.testing.assert_allclose(np.concatenate(joined, 1), flat, atol=1e-6)
    assert set(read) == set(PARTS) and "rnet.safetensors" in found.name
    assert factors(read)["pose"].shape == (2, 3)
    both = factors(read, "rotation+translation")["pose"]
    np.testing.assert_array_equal(both[:, 3:], read["translation"])
    write_network(tmp_path / "other.safetensors", "rnet", {"x": torch.zeros(1)})
    with pytest.raises(CheckpointError, match="R-Net"):
        build_estimator(f"deep3d={tmp_path / 'other.safetensors'}")


def test_an_encoder_reads_its_codes(checkpoint):
    found = build_estimator(f"encoder={checkpoint}")
    model = FaceSep.from_pretrained(checkpoint)
    images = torch.rand(3, 3, model.image_size, model.image_size)
    expected = model.encoder(images)
    for name, values in found.estimate(images).items():
        np.testing.assert_allclose(values, getattr(expected, name).numpy(), atol=1e-5)
    assert "flatters" in found.name
    assert found.estimate(torch.rand(1, 3, 48, 48))["rotation"].shape == (1, 3)


def test_names_of_estimators():
    assert build_estimator("none") is None
    with pytest.raises(ConfigError, match="unknown estimator 'magic'"):
        build_estimator("magic")
    with pytest.raises(ConfigError, match="--labels, --landmarks"):
        build_estimator("open", morphable="x")


# -- the open analysis ------------------------------------------------------------------------------


class Known:
    """A landmark tool that knows the answer; pictures without an answer show no face."""

    name = "known landmarks"

    def __init__(self, answers: dict[int, np.ndarray]) -> None:
        self.answers = answers

    def landmarks(self, images):
        assert len(images) == len(self.answers) + 1 and {image.size for image in images} == {(512, 512)}
        rows = sorted(self.answers)
        return rows, np.stack([self.answers[row] for row in rows])


def labels(model, vertices: torch.Tensor, count: int = 3) -> Labels:
    basis = torch.linalg.qr(torch.randn(3 * len(vertices), count, generator=torch.Generator().manual_seed(1)))
    decode = {
        "identity.mean": torch.zeros(len(model.identity)),
        "identity.std": torch.ones(len(model.identity)),
        "expression.mean": torch.full((len(model.expression),), 0.1),
        "expression.std": torch.full((len(model.expression),), 0.2),
        "texture.mean": torch.full((3 * len(vertices),), 0.5),
        "texture.std": torch.full((count,), 0.4),
        "texture.basis": basis.Q.T.contiguous(),
        "texture.vertices": vertices,
        "landmarks.offset": torch.zeros(68, 3),
    }
    empty = torch.zeros(0)
    return Labels(empty, empty, empty, empty, decode, model.expression_names)


def test_open_analysis_finds_pose_and_expression():
    model = synthetic_model()
    rotation = torch.tensor([[0.1, 0.3, -0.05], [-0.1, -0.2, 0.1]])
    translation = torch.tensor([[0.05, 0.0, 0.1], [0.0, 0.1, 0.0]])
    weights = torch.tensor([[0.6, 0.6, 0.0, 0.0], [0.0, 0.0, 0.7, 0.2]])
    points = model.vertices(torch.zeros(2, len(model.identity)), weights, model.landmarks)
    places = project(points, rotation, translation, 512.0)[..., :2].numpy()
    mesh = np.zeros((2, 478, 3))
    mesh[:, list(MEDIAPIPE_68), :2] = places
    tool = Known({0: mesh[0], 2: mesh[1]})
    analysis = OpenAnalysis(model, labels(model, torch.arange(0, 2000, 9)), tool)
    read = analysis.estimate(torch.full((3, 3, 64, 64), 0.5))
    assert np.isnan(read["expression"][1]).all() and np.isnan(read["illumination"][1]).all()
    seen = [0, 2]
    np.testing.assert_allclose(read["rotation"][seen], rotation, atol=0.06)
    np.testing.assert_allclose(read["expression"][seen] * 0.2 + 0.1, weights, atol=0.25)
    assert cosine(read["expression"][[0]], (weights[:1].numpy() - 0.1) / 0.2)[0] > 0.9
    assert np.isfinite(read["texture"][seen]).all() and "known landmarks" in analysis.name


def test_open_analysis_splits_light_and_skin():
    """Colours made from a known light: its direction is found, brightness is shared out as in training."""
    g = torch.Generator().manual_seed(0)
    normal = torch.nn.functional.normalize(
        torch.randn(400, 3, generator=g) + torch.tensor([0, 0, 1.5]), dim=-1
    )
    normal[:, 2] = normal[:, 2].abs()
    gamma = torch.zeros(3, 3, 9)
    gamma[..., 0] = WHITE
    gamma[0, :, 3] = 0.15  # from the side
    gamma[1, :, 1] = 0.15  # from above
    tone = torch.tensor([1.0, 1.0, 0.7])
    light = shading(normal.expand(3, -1, -1), gamma.flatten(1))
    samples = Samples(0.5 * tone[:, None, None] * light, normal.expand(3, -1, -1), torch.ones(3, 400))
    texture, found = split_light(samples, labels(synthetic_model(), torch.arange(400)).decode)
    bands = found.unflatten(1, (3, 9))
    assert bands[0, :, 1:].mean(0).abs().argmax() == 2 and bands[1, :, 1:].mean(0).abs().argmax() == 0
    assert bands[0, :, 3].mean() == pytest.approx(0.15, abs=0.06)  # some goes to the patterns
    dark = bands[2].mean(0)[0] + 0.8
    usual = bands[:2].mean((0, 1))[0] + 0.8
    assert (dark / usual).log() == pytest.approx(LIGHT_SHARE * np.log(0.7), abs=0.05)
    assert torch.isfinite(texture).all()

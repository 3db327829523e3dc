"""The morphable fit on faces whose pose, identity and expression are known."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from analysis_model import SEMI, flip_expression, synthetic_arrays, synthetic_model

from facesep.analysis.fit import SIZE, Priors, _box_step, calibrate, fit
from facesep.analysis.landmarks import MEDIAPIPE_68, MIRROR_68, landmark_sigma, mirror
from facesep.analysis.morphable import MorphableModel, five_points
from facesep.camera import TEMPLATE_5, project, rotation_matrix
from facesep.errors import DataError

WEAK = Priors(identity=30.0, expression=30.0, depth=30.0, shift=30.0, turn=30.0)


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return synthetic_model()


def faces(model: MorphableModel, count: int, seed: int = 0):
    """Known unknowns and the landmarks they give."""
    g = torch.Generator().manual_seed(seed)
    rotation = torch.randn(count, 3, generator=g) * torch.tensor([0.12, 0.25, 0.12])
    translation = torch.randn(count, 3, generator=g) * torch.tensor([0.03, 0.03, 0.1])
    identity = torch.randn(count, len(model.identity), generator=g)
    expression = torch.rand(count, len(model.expression), generator=g) * (
        torch.rand(count, len(model.expression), generator=g) > 0.4
    )
    points = model.vertices(identity, expression, model.landmarks)
    return rotation, translation, identity, expression, project(points, rotation, translation, SIZE)[..., :2]


def test_fit_recovers_what_made_the_landmarks(model):
    rotation, translation, identity, expression, seen = faces(model, 24)
    found = fit(model, seen, torch.ones(68), priors=WEAK, steps=15, chunk=10)
    assert found.residual.abs().max() < 0.05
    assert (found.rotation - rotation).abs().max() < 0.01
    assert (found.translation[:, :2] - translation[:, :2]).abs().max() < 0.01
    assert (found.expression - expression).abs().max() < 0.05
    assert (found.identity - identity).abs().max() < 0.3  # size and distance almost look alike


def test_expression_weights_stay_in_bounds_and_held_ones_at_zero(model):
    _, _, _, _, seen = faces(model, 16, seed=1)
    seen = seen + 3 * torch.randn(seen.shape, generator=torch.Generator().manual_seed(2))
    movable = torch.tensor([True, True, False, True])
    found = fit(model, seen, torch.full((68,), 0.3), movable=movable)
    assert found.expression.min() >= 0 and found.expression.max() <= 1
    assert (found.expression[:, 2] == 0).all() and (found.expression[:, 0] > 0).any()


def test_priors_pull_to_their_centre(model):
    _, _, identity, _, seen = faces(model, 8, seed=3)
    far = torch.full_like(identity, 2.0)
    found = fit(model, seen, torch.full((68,), 1e3), identity_mean=far)
    assert (found.identity - far).abs().max() < 0.1


def test_a_mirrored_face_gives_the_mirrored_answer(model):
    _, _, _, _, seen = faces(model, 12, seed=4)
    sigma = landmark_sigma()
    a, b = fit(model, seen, sigma), fit(model, mirror(seen, SIZE), sigma)
    sign = torch.tensor([1.0, -1.0, -1.0])
    assert torch.allclose(b.rotation, a.rotation * sign, atol=1e-4)
    assert torch.allclose(b.translation, a.translation * torch.tensor([-1.0, 1.0, 1.0]), atol=1e-4)
    assert torch.allclose(b.identity, a.identity, atol=2e-3)
    assert torch.allclose(b.expression, flip_expression(a.expression), atol=2e-3)


def test_calibration_finds_constant_offsets_of_a_detector(model):
    """Landmarks that a detector places elsewhere must not become identity or pose."""
    g = torch.Generator().manual_seed(5)
    offset = torch.zeros(68, 3)
    offset[:, :2] = 0.02 * torch.randn(68, 2, generator=g)
    offset = (offset + offset[list(MIRROR_68)] * torch.tensor([-1.0, 1.0, 1.0])) / 2
    rotation = torch.randn(60, 3, generator=g) * 0.08
    identity = torch.randn(60, 3, generator=g)
    points = model.vertices(identity, torch.zeros(60, 4), model.landmarks) + offset
    seen = project(points, rotation, torch.zeros(60, 3), SIZE)[..., :2]
    found = calibrate(model, seen, torch.ones(68), torch.zeros(4, dtype=torch.bool), rounds=8)
    before = fit(model, seen, torch.ones(68)).residual.square().mean()
    after = fit(model, seen, torch.ones(68), offset=found).residual.square().mean()
    assert after < before / 20
    # A shift and a scale of the face as a whole cannot be told from translation; compare without them.
    design = torch.cat((model.neutral[model.landmarks][:, :2], torch.ones(68, 1)), 1)
    rest = (found - offset)[:, :2]
    rest = rest - design @ torch.linalg.lstsq(design, rest).solution
    assert rest.abs().mean() < 0.004


def test_box_step_satisfies_the_optimality_conditions():
    g = torch.Generator().manual_seed(6)
    root = torch.randn(5, 9, 9, generator=g, dtype=torch.float64)
    normal = root @ root.transpose(1, 2) + torch.eye(9, dtype=torch.float64)
    gradient = 3 * torch.randn(5, 9, generator=g, dtype=torch.float64)
    low, high = -torch.rand(5, 6, generator=g).double(), torch.rand(5, 6, generator=g).double()
    step = _box_step(normal, gradient, 3, low, high, sweeps=500)
    slope = gradient - (normal @ step[..., None])[..., 0]
    bounded, pull = step[:, 3:], slope[:, 3:]
    assert slope[:, :3].abs().max() < 1e-9
    assert (bounded >= low).all() and (bounded <= high).all()
    inside = (bounded > low + 1e-12) & (bounded < high - 1e-12)
    assert pull[inside].abs().max() < 1e-8
    assert (pull[bounded <= low + 1e-12] <= 1e-8).all() and (pull[bounded >= high - 1e-12] >= -1e-8).all()
    assert inside.any() and (~inside).any()


def test_landmark_tables():
    assert len(set(MEDIAPIPE_68)) == 68
    assert [MIRROR_68[i] for i in MIRROR_68] == list(range(68))  # mirroring twice changes nothing
    points = torch.rand(2, 68, 2) * 100
    assert torch.allclose(mirror(mirror(points, 256.0), 256.0), points, atol=1e-4)


def test_the_model_lands_on_the_template():
    """Whatever unit, place and tilt the file has."""
    arrays = synthetic_arrays()
    turn = 0.4
    rotation = np.array([[1, 0, 0], [0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)]])
    moved = {**arrays, "neutral": (arrays["neutral"] @ rotation.T * 25.4 + (0, 7, -3)).astype(np.float32)}
    for key in ("identity", "expression"):
        moved[key] = (arrays[key] @ rotation.T * 25.4).astype(np.float32)
    a, b = MorphableModel.from_arrays(arrays), MorphableModel.from_arrays(moved)
    for key in ("neutral", "identity", "expression"):
        assert torch.allclose(getattr(a, key), getattr(b, key), atol=1e-4)
    points, template = five_points(a.neutral[a.landmarks]), torch.tensor(TEMPLATE_5)
    best = (points - template).square().sum()
    assert best.sqrt() < 0.1
    for scale, pitch, y, z in torch.eye(4).repeat(2, 1) * torch.tensor([0.01] * 4 + [-0.01] * 4)[:, None]:
        turned = points @ rotation_matrix(torch.stack((pitch, pitch * 0, pitch * 0))).T
        other = turned * (1 + scale) + torch.stack((y * 0, y, z))
        assert (other - template).square().sum() > best
    assert a.neutral[:, 0].max() == pytest.approx(SEMI[0], rel=0.1)


def test_npz_and_obj_folder_give_the_same_model(tmp_path):
    arrays = synthetic_arrays()
    np.savez(tmp_path / "model.npz", **arrays)
    folder = tmp_path / "FaceXModel"
    folder.mkdir()
    meshes = {"generic_neutral_mesh": arrays["neutral"]}
    for i, shape in enumerate(arrays["identity"]):
        meshes[f"identity{i:03d}"] = arrays["neutral"] + shape
    order = np.argsort(arrays["expression_names"])
    for i in order:
        meshes[str(arrays["expression_names"][i])] = arrays["neutral"] + arrays["expression"][i]
    faces_text = "".join("f " + " ".join(f"{v + 1}/7/9" for v in quad) + "\n" for quad in arrays["faces"])
    for name, vertices in meshes.items():
        lines = "".join(f"v {x:.9g} {y:.9g} {z:.9g}\n" for x, y, z in vertices)
        (folder / f"{name}.obj").write_text("# mesh\n" + lines + "vt 0 0\n" + faces_text)
    landmarks = arrays["landmarks68"].tolist()
    (folder / "vertex_indices.json").write_text(f'{{"idx_to_landmark_verts": {landmarks}}}')
    a, b = MorphableModel.load(tmp_path / "model.npz"), MorphableModel.load(folder)
    assert torch.equal(a.triangles, b.triangles) and torch.equal(a.landmarks, b.landmarks)
    assert torch.allclose(a.neutral, b.neutral, atol=1e-5)
    assert torch.allclose(a.identity, b.identity, atol=1e-5)
    assert b.expression_names == tuple(a.expression_names[i] for i in order)
    assert torch.allclose(a.expression[torch.from_numpy(order)], b.expression, atol=1e-5)


@pytest.mark.parametrize("content", [b"", b"not a model", None])
def test_a_wrong_model_file_is_named(tmp_path, content):
    path = tmp_path / "model.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match="model.npz"):
        MorphableModel.load(path)
    with pytest.raises(DataError, match="does not hold"):
        MorphableModel.load(tmp_path)


@pytest.mark.skipif("FACESEP_MORPHABLE" not in os.environ, reason="FACESEP_MORPHABLE names no model file")
def test_the_real_model():
    model = MorphableModel.load(os.environ["FACESEP_MORPHABLE"])
    assert (five_points(model.neutral[model.landmarks]) - torch.tensor(TEMPLATE_5)).abs().max() < 0.04
    rotation, translation, identity, expression, seen = faces(model, 6)
    expression = expression * 0
    points = model.vertices(identity * 0.5, expression, model.landmarks)
    seen = project(points, rotation, translation, SIZE)[..., :2]
    found = fit(model, seen, landmark_sigma())
    assert (found.rotation - rotation).rad2deg().abs().max() < 4
    assert found.residual.square().sum(-1).mean().sqrt() < 1
    assert found.expression.max() < 0.3

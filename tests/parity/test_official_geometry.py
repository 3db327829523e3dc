"""Poses, crops and encodings against golden vectors of the official code."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from golden import Golden
from paper_geometry import Deep3DFit, adaface_similarity, arcface_similarity
from PIL import Image

from facesep.camera import CAMERA_DISTANCE, TEMPLATE_5, project, rotation_matrix, to_head
from facesep.nets.crops import inverted, similarity
from facesep.nets.field import positional_encoding

POSE = Golden("deep3d_pose")
PREPROCESS = Golden("deep3d_preprocess")
ALIGN = Golden("arcface_align")


def test_pose():
    angles, translation, points = (POSE[f"in.{n}"] for n in ("angles", "trans", "points"))
    rotation = rotation_matrix(angles)
    POSE.check("rot_for_row_vectors", rotation.transpose(1, 2))
    world = points @ rotation.transpose(1, 2) + translation[:, None]
    POSE.check("world", world)
    POSE.check("camera", torch.cat([world[..., :2], CAMERA_DISTANCE - world[..., 2:]], -1))
    # Our canonical image is another window of the same picture plane: 2.8 dm wide instead of 2.207.
    size = 1015 / 10 * 2.8
    pixels = project(points, angles, translation, size)[..., :2]
    centre = torch.tensor([0.5, 0.5 + 0.25 / 2.8]) * size
    u, down = (pixels - centre + 112).unbind(-1)
    POSE.check("image", torch.stack([u, 224 - down], -1))
    POSE.check("image_row_down", torch.stack([u, down - 1], -1))
    axes, origin = to_head(angles.double(), translation.double())
    POSE.check("derived.c2w_R", axes)
    POSE.check("derived.c2w_T", origin)
    POSE.check_all_done()
    # Wrong on purpose: the other order of turns, turning the other way.
    assert POSE.error("rot_for_row_vectors", rotation) > 1000
    flipped = rotation_matrix(angles.flip(1)).flip(1, 2)
    assert POSE.error("rot_for_row_vectors", flipped.transpose(1, 2)) > 1000


def closed_form_image(width: int, height: int) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    blue = 200 * ((x // 16 + y // 16) % 2)
    picture = np.stack([x * 255 // (width - 1), y * 255 // (height - 1), blue], -1)
    return Image.fromarray(picture.astype(np.uint8))


def test_template():
    assert np.abs(np.array(TEMPLATE_5) - PREPROCESS["template_lm3d"].numpy()).max() < 1e-8


@pytest.mark.parametrize("case", PREPROCESS.meta["cases"])
def test_deep3d_crop(case):
    expected = PREPROCESS.meta["cases"][case]
    width, height = expected["image_size_WH"]
    landmarks = np.array(expected["landmarks_image_ydown"])
    fit = Deep3DFit.from_points(landmarks, width, height)
    assert fit.scale == pytest.approx(expected["scale"], rel=1e-7)
    assert fit.x == pytest.approx(expected["t0"], abs=1e-5)
    assert fit.y == pytest.approx(expected["t1"], abs=1e-5)
    assert list(fit.resized) == expected["resized_WH"]
    assert list(fit.box) == expected["crop_box_left_up_right_below"]
    PREPROCESS.check(f"{case}.lm5_in_crop", fit.to_crop(landmarks))
    points = np.array(PREPROCESS.meta["inputs"]["points"])
    PREPROCESS.check(f"{case}.points_in_crop", fit.to_crop(points))
    if f"crop.{case}" in PREPROCESS.tensors:
        crop = np.asarray(fit.apply(closed_form_image(width, height)), dtype=int)
        stored = PREPROCESS[f"crop.{case}"].numpy().astype(int)
        assert np.abs(crop - stored).max() <= 1  # a PIL of another version may round differently
        assert (crop != stored).mean() < 1e-3
        # Wrong on purpose: the canonical fit of 101.5 px per dm instead of 102.
        other = Deep3DFit(width, height, fit.scale * 101.5 / 102, fit.x, fit.y)
        assert np.abs(np.asarray(other.apply(closed_form_image(width, height)), int) - stored).mean() > 1


@pytest.mark.parametrize("case", ALIGN.meta["cases"])
def test_arcface_alignment(case):
    landmarks = np.array(ALIGN.meta["cases"][case]["landmarks"])
    matrix = arcface_similarity(landmarks)
    ALIGN.check(f"{case}.M112", matrix)
    ALIGN.check(f"{case}.M224", arcface_similarity(landmarks, 224))
    ALIGN.check(f"{case}.lm_in_crop", landmarks @ matrix[:, :2].T + matrix[:, 2])
    points = np.array(ALIGN.meta["points"])
    ALIGN.check(f"{case}.points_in_crop", points @ matrix[:, :2].T + matrix[:, 2])
    template = torch.tensor(ALIGN.meta["template"], dtype=torch.float64)[None]
    batched = similarity(torch.from_numpy(landmarks)[None], template)
    ALIGN.check(f"{case}.M112", batched[0])
    ALIGN.check(f"{case}.M112", inverted(inverted(batched))[0])
    # Wrong on purpose: AdaFace's rule is another one, and it alone may mirror.
    other = adaface_similarity(landmarks)
    if case != "template_itself":
        assert ALIGN.error(f"{case}.M112", other) > 1
    assert (np.linalg.det(other[:, :2]) < 0) == (case == "mirrored")


def test_positional_encoding():
    golden = Golden("posenc")
    points = golden["in.headnerf_xyz"]
    golden.check("headnerf_pe", positional_encoding(points, 10))
    golden.check("headnerf_pe4", positional_encoding(points, 4))
    # Wrong on purpose: with a factor of pi, and grouped by axis instead of by wave.
    with_pi = torch.cat([points, positional_encoding(points * torch.pi, 10)[:, 3:]], 1)
    assert golden.error("headnerf_pe", with_pi) > 1000
    grouped = positional_encoding(points, 10)[:, 3:].unflatten(1, (10, 2, 3)).transpose(2, 3).flatten(1)
    assert golden.error("headnerf_pe", torch.cat([points, grouped], 1)) > 1000

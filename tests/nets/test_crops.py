"""Differentiable crops against PIL, OpenCV, an independent similarity fit and the official conventions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from paper_geometry import Deep3DFit, adaface_similarity, align, arcface_similarity
from PIL import Image

from facesep.camera import CENTRE_X, CENTRE_Y, project
from facesep.faces.crop import Crop
from facesep.nets.crops import (
    ARCFACE_TEMPLATE,
    DEEP3D_SIDE,
    arcface_crop,
    crop_window,
    deep3d_crop,
    inverted,
    projected_points,
    similarity,
    warp,
)

CASES = json.loads((Path(__file__).parents[1] / "parity/data/arcface_align.json").read_text())["cases"]
FACES = {
    name: np.array(case["landmarks"])
    for name, case in CASES.items()
    if name not in ("mirrored", "upside_down", "template_itself")
}


def picture(width: int, height: int, seed: int = 0) -> np.ndarray:
    """A smooth random picture, ``[H, W, 3]`` in [0, 1]."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    return np.asarray(small.resize((width, height), Image.BICUBIC), dtype=np.float32) / 255


def batch(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)[None]


@pytest.mark.parametrize(
    ("size", "left", "top", "side", "count"),
    [(64, 0, 0, 64, 64), (64, 3.3, 7.9, 50.2, 224), (200, 10.25, 31.5, 150.5, 40), (97, 0, 5, 92, 31)],
)
def test_crop_window_is_pils_bicubic_resize(size, left, top, side, count):
    image = np.random.default_rng(1).random((size, size), dtype=np.float32)
    ours = crop_window(torch.from_numpy(image)[None, None], left, top, side, count)[0, 0]
    box = (left, top, left + side, top + side)
    pil = np.asarray(Image.fromarray(image, "F").resize((count, count), Image.BICUBIC, box=box))
    assert np.abs(ours.numpy() - pil).max() < 2e-5


def test_deep3d_window_lies_inside_and_matches_the_official_map():
    assert pytest.approx(0.7882, abs=1e-4) == DEEP3D_SIDE
    assert CENTRE_Y + DEEP3D_SIDE / 2 < 1
    assert CENTRE_Y - DEEP3D_SIDE / 2 > 0
    for points in FACES.values():
        width, height = 1024, 1024
        crop = Crop.from_points(points)
        window = (crop.to_canonical(points, 1) - (CENTRE_X, CENTRE_Y)) / DEEP3D_SIDE * 224 + 112
        official = Deep3DFit.from_points(points, width, height).to_crop(points)
        official[:, 1] = 224 - official[:, 1]  # y up to y down
        # The official map cuts the resized photo to whole pixels, which shifts the crop by up to half one.
        assert np.abs(window - official).max() < 1.01


def test_deep3d_crop_shows_what_the_official_crop_of_the_photo_shows():
    points = FACES["turned_tilted"]
    photo = Image.fromarray((picture(513, 771) * 255).round().astype(np.uint8))
    canonical = Crop.from_points(points).apply(photo, 512)
    ours = deep3d_crop(batch(np.asarray(canonical, dtype=np.float32) / 255))[0].permute(1, 2, 0).numpy()
    official = np.asarray(Deep3DFit.from_points(points, 513, 771).apply(photo), dtype=np.float32) / 255
    inside = official.sum(2) > 0
    assert inside.mean() > 0.9
    assert np.abs(ours - official)[inside].mean() < 0.01
    assert np.abs(np.roll(ours, 6, axis=1) - official)[inside].mean() > 0.02  # a shift would be seen


def umeyama(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Least-squares similarity by singular values (Umeyama, 1991)."""
    a, b = source - source.mean(0), target - target.mean(0)
    u, d, v = np.linalg.svd(b.T @ a / len(a))
    s = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(v))])
    rotation = u @ np.diag(s) @ v
    scale = (d * s).sum() / a.var(0).sum()
    return np.concatenate(
        [scale * rotation, (target.mean(0) - scale * rotation @ source.mean(0))[:, None]], 1
    )


def test_similarity_is_umeyamas():
    rng = np.random.default_rng(3)
    source, target = rng.normal(size=(2, 20, 5, 2))
    ours = similarity(torch.from_numpy(source), torch.from_numpy(target))
    expected = np.stack([umeyama(a, b) for a, b in zip(source, target, strict=True)])
    assert np.abs(ours.numpy() - expected).max() < 1e-12
    both = torch.cat([ours, torch.tensor([[0.0, 0, 1]]).expand(20, 1, 3)], 1)
    back = torch.cat([inverted(ours), torch.tensor([[0.0, 0, 1]]).expand(20, 1, 3)], 1)
    assert torch.allclose(both @ back, torch.eye(3, dtype=torch.float64).expand(20, 3, 3))


@pytest.mark.parametrize("mirrored", [False, True])
def test_adaface_alignment_is_that_of_cp2tform(mirrored):
    align_trans = pytest.importorskip("facexlib.detection.matlab_cp2tform")
    for points in FACES.values():
        points = points @ np.diag([-1.0, 1.0]) if mirrored else points
        expected = align_trans.get_similarity_transform_for_cv2(points, np.array(ARCFACE_TEMPLATE))
        assert np.abs(adaface_similarity(points) - expected).max() < 1e-8


def test_alignment_of_photos_is_opencvs_warp():
    cv2 = pytest.importorskip("cv2")
    image = (picture(513, 771) * 255).round().astype(np.uint8)
    for matrix in (
        arcface_similarity(FACES["turned_tilted"]),
        adaface_similarity(FACES["near_border_large"]),
    ):
        ours = np.asarray(align(Image.fromarray(image), matrix), dtype=int)
        theirs = cv2.warpAffine(image, matrix, (112, 112)).astype(int)
        assert np.abs(ours - theirs).max() <= 2


def test_arcface_crop_of_a_crop_is_the_crop():
    image = batch(picture(112, 112))
    template = torch.tensor(ARCFACE_TEMPLATE)[None] + 0.5
    for fit in ("adaface", "insightface"):
        assert torch.allclose(arcface_crop(image, template, fit=fit), image, atol=1e-4)


@pytest.mark.parametrize("fit", ["adaface", "insightface"])
def test_arcface_crop_agrees_with_the_official_alignment(fit):
    image = (picture(256, 256) * 255).round()
    points = FACES["tiny"] * 2.5
    rule = {"adaface": adaface_similarity, "insightface": arcface_similarity}[fit]
    expected = np.asarray(align(Image.fromarray(image.astype(np.uint8)), rule(points)), dtype=np.float32)
    ours = arcface_crop(batch(image), torch.from_numpy(points)[None].float() + 0.5, fit=fit)
    assert np.abs(ours[0].permute(1, 2, 0).numpy() - expected)[2:-2, 2:-2].max() < 1.5


def test_arcface_crop_follows_a_turned_picture():
    image = picture(200, 200)
    points = FACES["tiny"] * 2.5
    turned = np.rot90(image).copy()  # counter-clockwise: (x, y) -> (y, 200 - x)
    moved = np.stack([points[:, 1], 200 - points[:, 0]], 1)
    a = arcface_crop(batch(image), torch.from_numpy(points)[None].float())
    b = arcface_crop(batch(turned), torch.from_numpy(moved)[None].float())
    assert torch.allclose(a, b, atol=1e-4)


def test_large_images_are_reduced_before_warping():
    points = torch.from_numpy(FACES["tiny"] * 2.2)[None].float()
    image = batch(picture(1024, 1024))
    small = torch.nn.functional.interpolate(image, size=(256, 256), mode="bilinear", antialias=True)
    assert torch.allclose(arcface_crop(image, points * 4), arcface_crop(small, points), atol=1e-5)


def test_warp_of_wide_images_and_black_border():
    image = batch(picture(60, 40)) + 0.1
    shift = torch.tensor([[[1.0, 0, -5], [0, 1, 8]]])
    out = warp(image, shift, 20)
    assert torch.allclose(out[..., :, 5:], image[..., 8:28, :15], atol=1e-5)
    assert (out[..., :5] < 1e-5).all()


def test_projected_points_are_the_cameras():
    rotation, translation = torch.tensor([[0.1, -0.3, 0.05]]), torch.tensor([[0.1, -0.2, 0.3]])
    points = projected_points(rotation, translation, 256)
    from facesep.camera import TEMPLATE_5

    assert torch.equal(points, project(torch.tensor(TEMPLATE_5), rotation, translation, 256)[..., :2])
    assert (points[0, 0, 0] < points[0, 1, 0]) and (points[0, 0, 1] < points[0, 3, 1])  # left eye, upper


def test_crops_are_differentiable():
    torch.manual_seed(0)
    image = torch.rand(1, 1, 24, 24, dtype=torch.float64, requires_grad=True)
    points = ((torch.tensor(ARCFACE_TEMPLATE, dtype=torch.float64) / 112) * 24 + 0.317)[None]
    points.requires_grad_()
    for fit in ("adaface", "insightface"):
        crop = lambda i, p, fit=fit: arcface_crop(i, p, 6, fit)  # noqa: E731
        assert torch.autograd.gradcheck(crop, (image, points), eps=1e-7, atol=1e-4)
    deep3d_crop(image.float()).sum().backward()
    assert image.grad.abs().sum() > 0

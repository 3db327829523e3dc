"""Composing, turning and training, on made-up portraits whose truth is known by construction."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from facesep.camera import rotation_matrix
from facesep.data.annotated import OUTLINE, Source, face_box
from facesep.faces.networks import FINDER_STRIDE
from facesep.training.face_detector.evaluate import CONDITIONS, covered, measure, plain, rotated, shrunk
from facesep.training.face_detector.finder import finder_loss, targets
from facesep.training.face_detector.named import CHANGES
from facesep.training.face_detector.pointer import pointer_losses
from facesep.training.face_detector.scene_files import SceneFiles, write_scenes
from facesep.training.face_detector.scenes import compose, move, paste, similarity
from facesep.training.face_detector.sources import SourceFile
from facesep.training.face_detector.turned import rotate, turn

ROOT = Path(__file__).parents[2]


def made_up(side: int = 160, seed: int = 0) -> Source:
    """An ellipsoid head: 478 points on its front, red at the eyes and the mouth, green at the nose."""
    rng = np.random.default_rng(seed)
    mesh = np.zeros((478, 3), np.float32)
    centre, radius = np.array((side / 2, side / 2)), np.array((0.19, 0.25)) * side
    spread = np.sqrt(rng.random(478)) * 0.97
    turn_by = rng.uniform(0, 2 * np.pi, 478)
    unit = np.stack((spread * np.cos(turn_by), spread * np.sin(turn_by)), -1)
    around = np.linspace(0, 2 * np.pi, len(OUTLINE), endpoint=False) - np.pi / 2
    unit[list(OUTLINE)] = np.stack((np.cos(around), np.sin(around)), -1)
    unit[[468, 473, 4, 61, 291]] = ((-0.45, -0.2), (0.45, -0.2), (0.0, 0.1), (-0.3, 0.5), (0.3, 0.5))
    mesh[:, :2] = centre + unit * radius
    depth = np.sqrt(np.maximum(0, 1 - (unit**2).sum(1)))
    mesh[:, 2] = (0.6 - depth) * 0.2 * side
    pixels = np.zeros((side, side, 4), np.uint8)
    y, x = np.mgrid[0:side, 0:side] + 0.5
    inside = (((np.stack((x, y), -1) - centre) / radius) ** 2).sum(-1) < 1
    pixels[..., :3] = np.where(inside[..., None], (200, 150, 120), (40, 60, 160))
    pixels[..., 3] = inside
    for index, colour in ((468, (255, 0, 0)), (473, (255, 0, 0)), (4, (0, 255, 0))):
        near = np.hypot(x - mesh[index, 0], y - mesh[index, 1]) < 0.03 * side
        pixels[near, :3] = colour
    return Source(pixels, mesh, 0.0, f"made/{seed}")


@pytest.fixture(scope="module")
def portraits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A portraits folder of made-up heads: six to train, three to validate."""
    folder = tmp_path_factory.mktemp("portraits")
    (folder / "made").mkdir()
    names, meshes = [], []
    with (folder / "index.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("name", "split", "yaw"))
        for seed in range(9):
            source = made_up(seed=seed)
            Image.fromarray(source.pixels[..., :3]).save(folder / f"{source.name}.jpg", quality=95)
            Image.fromarray(source.pixels[..., 3]).save(folder / f"{source.name}.label.png")
            writer.writerow((source.name, "train" if seed < 6 else "val", 0.0))
            names.append(source.name)
            meshes.append(source.mesh)
    np.savez(folder / "landmarks.npz", names=np.array(names), landmarks=np.stack(meshes))
    return folder


def spot(image: Image.Image, colour: tuple[int, int, int]) -> np.ndarray:
    """Centre of what has a colour, in pixels."""
    near = np.abs(np.asarray(image).astype(int)[..., :3] - colour).sum(-1) < 120
    assert near.any()
    return np.argwhere(near).mean(0)[::-1] + 0.5


def test_a_pasted_face_lies_where_its_points_say() -> None:
    source, rng = made_up(), np.random.default_rng(4)
    for width, angle in ((40.0, 0.0), (110.0, 30.0), (150.0, -45.0)):
        canvas = Image.new("RGB", (256, 256))
        matrix, mirror = similarity(rng, source, width, np.array((130.0, 120.0)), angle)
        paste(canvas, source, matrix, cut=True, feather=0.0)
        points = move(matrix, source.points)
        np.testing.assert_allclose(spot(canvas, (0, 255, 0)), points[2], atol=0.8)
        np.testing.assert_allclose(spot(canvas, (255, 0, 0)), points[:2].mean(0), atol=0.8)
        scale = np.sqrt(abs(np.linalg.det(matrix[:, :2])))
        box = face_box(source.outline)
        assert scale * (box[2] - box[0] + box[3] - box[1]) / 2 == pytest.approx(width)
        assert (np.linalg.det(matrix[:, :2]) < 0) == mirror


@pytest.mark.parametrize(("yaw", "pitch"), [(0, 0), (35, 0), (-50, 10), (20, -15)])
def test_a_turned_head_keeps_its_spots_on_its_points(yaw: float, pitch: float) -> None:
    source = made_up(220)
    view = turn(source, yaw, pitch, size=200)
    picture = Image.fromarray(view.pixels[..., :3])
    np.testing.assert_allclose(spot(picture, (0, 255, 0)), view.points[2], atol=2.0)
    assert view.yaw == yaw
    if yaw:
        middle = view.points[:2].mean(0)
        assert np.sign(view.points[2, 0] - middle[0]) == np.sign(yaw)


def test_rotation_agrees_with_the_camera() -> None:
    """x right, y down, z away here; y up and z toward the viewer there."""
    rng = np.random.default_rng(5)
    points, centre = rng.normal(size=(6, 3)), rng.normal(size=3)
    flip = np.array((1.0, -1.0, -1.0))
    pitch, yaw = 0.3, -0.7
    turned = rotation_matrix(torch.tensor((pitch, yaw, 0.0), dtype=torch.float64)).numpy()
    wanted = ((points - centre) * flip) @ turned.T * flip + centre
    np.testing.assert_allclose(rotate(points, centre, yaw, pitch), wanted, atol=1e-12)


def test_scenes_are_repeatable_and_their_faces_are_there() -> None:
    sources = [made_up(seed=seed) for seed in range(3)]
    one, two = (compose(np.random.default_rng(8), sources, sources, [], 128) for _ in range(2))
    assert np.array_equal(np.asarray(one.image), np.asarray(two.image))
    counts = set()
    for seed in range(25):
        scene = compose(np.random.default_rng(seed), sources, sources, [], 128)
        counts.add(len(scene.boxes))
        assert scene.image.size == (128, 128) and scene.points.shape[1:] == (5, 2)
        middles = (scene.boxes[:, :2] + scene.boxes[:, 2:]) / 2
        assert ((middles > 0) & (middles < 128)).all()
        inside = (scene.points >= scene.boxes[:, None, :2] - 1) & (
            scene.points <= scene.boxes[:, None, 2:] + 1
        )
        assert inside.all()
        assert (scene.points[:, 0, 0] < scene.points[:, 1, 0]).all()
    assert 0 in counts and max(counts) >= 2


def test_scene_files_hold_what_was_composed(tmp_path: Path) -> None:
    sources = [made_up(seed=seed) for seed in range(2)]
    assert write_scenes(tmp_path, sources, sources, [], shard=0, count=4, side=96)
    before = (tmp_path / "scenes-0000.bin").read_bytes()
    assert not write_scenes(tmp_path, sources, sources, [], shard=0, count=4, side=96)
    files = SceneFiles(tmp_path)
    assert len(files) == 4
    write_scenes(tmp_path, sources, sources, [], shard=1, count=3, side=96)
    files.refresh()
    assert len(files) == 7 and (tmp_path / "scenes-0000.bin").read_bytes() == before
    rng = np.random.default_rng((0, 0))
    first = compose(rng, sources, sources, [], 96)
    pixels, boxes = files[0]
    np.testing.assert_array_equal(boxes, first.boxes)
    assert np.abs(pixels.astype(float) - np.asarray(first.image)).mean() < 25  # JPEG of any quality


def test_sources_survive_the_file(tmp_path: Path) -> None:
    sources = [made_up(120 + 8 * seed, seed) for seed in range(3)]
    kept = SourceFile.write(tmp_path, iter(sources))
    for one, two in zip(sources, (kept[i] for i in range(3)), strict=True):
        assert np.array_equal(one.pixels, two.pixels) and np.array_equal(one.mesh, two.mesh)
        assert (one.yaw, one.name) == (two.yaw, two.name)


def test_targets_hold_the_boxes() -> None:
    """Reading the target maps as the detector reads its own gives the boxes back."""
    boxes = torch.tensor(((20.0, 24.0, 90.0, 110.0), (130.0, 60.0, 148.0, 84.0)))
    heat, sides, weight = targets([boxes, torch.zeros(0, 4)], 20)
    cells = torch.nonzero(heat[0] == 1)
    assert len(cells) == 2 and heat[1].max() == 0 and weight[1].max() == 0
    for row, column in cells.tolist():
        left, top, right, bottom = sides[0, :, row, column].tolist()
        x, y = column + 0.5, row + 0.5
        box = FINDER_STRIDE * torch.tensor((x - left, y - top, x + right, y + bottom))
        assert (box - boxes).abs().sum(-1).min() < 1e-3
    assert ((weight > 0) <= (heat > 0.4)).all()


def test_losses_are_smallest_at_the_truth() -> None:
    heat, sides, weight = targets([torch.tensor(((20.0, 24.0, 90.0, 110.0),))], 16)
    right = torch.where(heat == 1, 12.0, -12.0)
    best = finder_loss(right, sides.log(), (heat, sides, weight))
    assert best < 1e-3
    assert finder_loss(-right, sides.log(), (heat, sides, weight)) > 5
    assert finder_loss(right, sides.log() + 0.5, (heat, sides, weight)) > best + 0.5
    goal, yaw, face = torch.rand(3, 5, 2) * 0.8 + 0.1, torch.zeros(3), torch.tensor((1.0, 1.0, 0.0))
    sure = torch.tensor((12.0, 12.0, -12.0))
    terms = pointer_losses(goal, yaw, sure, (goal, yaw, face))
    assert sum(terms.values()) < 1e-4 and terms["points"] == 0
    moved = goal.clone()
    moved[2] += 0.1  # no face there: its points are not asked for
    assert pointer_losses(moved, yaw, sure, (goal, yaw, face)) == terms
    moved[0] += 0.1  # of one face in two: smooth L1 beyond 0.004 is the distance less 0.002
    found = pointer_losses(moved, yaw, sure, (goal, yaw, face))["points"]
    assert found == pytest.approx(30 * 2 * 0.098 / 2, rel=1e-4)


def test_measuring_a_perfect_and_a_blind_detector() -> None:
    from facesep.faces.types import Face

    sources = [made_up(seed=seed) for seed in range(3)]
    samples = [plain(source) for source in sources]
    answers = iter(samples)

    def perfect(photo: Image.Image) -> list[Face]:
        _, points, outline, yaw = next(answers)
        return [Face(tuple(face_box(outline)), points, 1.0, yaw), Face((0, 0, 5, 5), points, 1.0, yaw)]

    result = measure(samples, perfect)
    assert result["found_percent"] == 100 and result["error_median"] == 0 and result["further_boxes"] == 3
    assert measure(samples, lambda photo: [])["found_percent"] == 0


def test_conditions_move_the_truth_with_the_picture() -> None:
    source = made_up()
    for sample in (plain(source), rotated(source, 30), rotated(source, -90), shrunk(source, 20, 200)):
        photo, points, _, _ = sample
        np.testing.assert_allclose(spot(photo, (0, 255, 0)), points[2], atol=0.7)
    photo, points, _, _ = shrunk(source, 12)
    assert np.linalg.norm(points[1] - points[0]) == pytest.approx(12, rel=0.03)
    hidden = np.asarray(covered(source, 0.18, 0.43)[0])
    y, x = (int(v) for v in source.points[0][::-1])
    assert tuple(hidden[y, x]) == (60, 80, 110)
    assert all(condition(source, 1)[1].shape == (5, 2) for condition in CONDITIONS.values())


@pytest.mark.slow
def test_the_script_runs_from_portraits_to_weights(portraits: Path, tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "train" / "detector.py"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)

    work = str(tmp_path / "work")
    run("sources", "--portraits", str(portraits), "--work", work, "--views", "6")
    run("scenes", "--work", work, "--shards", "1", "--scenes", "12")
    run("finder", "--work", work, "--steps", "2")
    run("finder", "--work", work, "--steps", "3")
    run("pointer", "--work", work, "--steps", "2", "--empty", "6")
    run("pack", "--work", work, "--out", str(tmp_path / "packed"))
    for name in ("finder", "pointer"):
        assert (tmp_path / "packed" / f"{name}.safetensors").stat().st_size < 3_000_000
    report = tmp_path / "report.json"
    printed = run("evaluate", "--portraits", str(portraits), "--out", str(report)).stdout
    assert "rotated 45" in printed and json.loads(report.read_text())["conditions"]["plain"]["photos"] == 3
    named = run("named", "--portraits", str(portraits)).stdout
    assert all(f"| {change} | 3 |" in named for change in CHANGES)

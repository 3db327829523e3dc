"""Samples, batches, loss and training of the face parser on made-up portraits."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from safetensors.torch import load_file
from test_training import made_up

from facesep.data.part_labels import (
    CONTOURS,
    MARGIN,
    OUTSIDE,
    SIZE,
    UNKNOWN,
    paint_parts,
    portraits,
    sample,
)
from facesep.evaluation.parsing import REGIONS, as_markdown, measure_one, outline_distance, summarise
from facesep.nets.face_parser import CLASSES
from facesep.training.face_parser import batches as batches_module
from facesep.training.face_parser.batches import Batches, random_grid, shares
from facesep.training.face_parser.training import parser_loss

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A portraits folder: four made-up heads to train, one of a set that is left out, two to validate."""
    root = tmp_path / "portraits"
    names, meshes = [], []
    root.mkdir()
    with (root / "index.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("name", "split", "yaw", "good_at_256"))
        for seed in range(7):
            source = made_up(seed=seed)
            name = f"{'gsa_18f' if seed == 3 else 'made'}/{seed}"
            (root / name).parent.mkdir(exist_ok=True)
            Image.fromarray(source.pixels[..., :3]).save(root / f"{name}.jpg", quality=95)
            Image.fromarray(source.pixels[..., 3]).save(root / f"{name}.label.png")
            writer.writerow((name, "train" if seed < 5 else "val", 0.0, 1))
            names.append(name)
            meshes.append(source.mesh)
    np.savez(root / "landmarks.npz", names=np.array(names), landmarks=np.stack(meshes))
    return root


def test_parts_are_painted_on_skin_alone() -> None:
    """Polygons of lips around a mouth: areas by the shoelace formula; hair stays hair."""
    mesh = np.zeros((478, 2), np.float32)  # all other contours lie in a corner, without an area
    for name, radius in (("lips", 20.0), ("mouth", 10.0)):
        (contour,) = [points for part, points in CONTOURS if part == name]
        around = np.linspace(0, 2 * np.pi, len(contour), endpoint=False)
        mesh[list(contour)] = np.stack((np.cos(around), np.sin(around)), 1) * radius + 48
    labels = np.ones((96, 96), np.uint8)
    labels[:, 60:] = CLASSES.index("hair")
    painted = paint_parts(labels, mesh)
    assert (painted[:, 60:] == labels[:, 60:]).all()
    area = 10 * np.sin(np.pi / 10)  # of a regular 20-gon of radius 1
    mouth, lips = (painted == CLASSES.index(name) for name in ("mouth", "lips"))
    assert mouth.sum() == pytest.approx(area * 10**2, rel=0.08)
    assert lips[:, :48].sum() == pytest.approx(area * (20**2 - 10**2) / 2, rel=0.08)


def test_a_sample_holds_the_canonical_crop() -> None:
    source = made_up(side=300)
    wide, plain = sample(source), sample(source, 256, 1.0)
    assert wide.shape == (SIZE, SIZE, 4) and SIZE / MARGIN == 256
    inner = wide[64:-64, 64:-64]
    assert np.abs(inner[..., :3].astype(int) - plain[..., :3]).mean() < 1
    assert (inner[..., 3] == plain[..., 3]).mean() > 0.99
    outside = wide[..., 3] == OUTSIDE
    assert outside.any() and wide[outside][:, :3].mean() > 250  # white but for the blended border


def test_sets_without_consent_are_left_out(folder: Path) -> None:
    assert [source.name for source in portraits(folder, "train")] == ["made/0", "made/1", "made/2", "made/4"]
    assert len(list(portraits(folder, "train", 2))) == 2


def test_grids_are_similarities_of_the_stated_size() -> None:
    grid = random_grid(np.random.default_rng(0), 200, 8)
    across, down = grid[:, 0, 1] - grid[:, 0, 0], grid[:, 1, 0] - grid[:, 0, 0]
    torch.testing.assert_close((across * down).sum(-1), torch.zeros(200), atol=1e-6, rtol=0)
    torch.testing.assert_close(across.norm(dim=-1), down.norm(dim=-1))
    scale = across.norm(dim=-1) * 8 / 2 * MARGIN
    assert np.exp(-0.2) - 1e-4 <= scale.min() < 0.9 and 1.1 < scale.max() <= np.exp(0.2) + 1e-4
    mirrored = across[:, 0] * down[:, 1] < 0
    assert 0.35 < mirrored.float().mean() < 0.65


def test_labels_move_with_the_pixels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Samples whose colour says their class: wherever a cell is of one class, the image has its colour."""
    colours = np.array([(17 * c + 40, 200 - 20 * c, 25 * c) for c in range(len(CLASSES))], np.uint8)
    rng = np.random.default_rng(0)
    samples = np.zeros((3, SIZE, SIZE, 4), np.uint8)
    for one in samples:
        picture = Image.new("L", (SIZE, SIZE))
        for c in rng.permutation(len(CLASSES)):
            x, y = rng.integers(0, SIZE - 120, 2)
            ImageDraw.Draw(picture).ellipse((x, y, x + 120, y + 120), fill=int(c))
        labels = np.array(picture)
        one[..., :3], one[..., 3] = colours[labels], labels
        one[:40] = (255, 255, 255, OUTSIDE)
        one[-40:] = (0, 0, 0, UNKNOWN)
    np.save(tmp_path / "straight.npy", samples)
    np.save(tmp_path / "backgrounds.npy", np.broadcast_to(colours[0], (1, 256, 256, 3)))
    monkeypatch.setattr(batches_module, "relight", lambda rng, image: image)
    monkeypatch.setattr(batches_module, "degrade", lambda rng, image: image)
    monkeypatch.setattr(Batches, "_flat", 0.0)
    image, wanted = Batches(tmp_path, 1)(40, 96)
    assert image.shape == (40, 3, 96, 96) and wanted.shape == (40, len(CLASSES), 48, 48)
    known = wanted.sum(1)
    assert known.max() <= 1 and (known == 0).any() and (known == 1).float().mean() > 0.7
    cells = torch.nn.functional.avg_pool2d(image, 2)
    for c in range(1, len(CLASSES)):
        inner = -torch.nn.functional.max_pool2d(-wanted[:, c], 5, 1, 2) == 1  # the class all around
        seen = cells.permute(0, 2, 3, 1)[inner]
        assert len(seen) > 20
        right = ((seen - torch.from_numpy(colours[c]) / 255).abs() < 0.02).all(-1)
        assert right.float().mean() > 0.99  # slivers narrower than a pixel have another colour


def test_shares_of_cells() -> None:
    labels = torch.tensor([[[0, 1, 2, 2], [1, 1, UNKNOWN, 2]]])
    found = shares(labels)[0, :, 0]
    assert found[:3].tolist() == [[0.25, 0.0], [0.75, 0.0], [0.0, 0.75]] and found[3:].sum() == 0


def test_the_loss_is_small_where_right_and_blind_where_unknown() -> None:
    torch.manual_seed(0)
    labels = torch.randint(0, len(CLASSES), (2, 16, 16))
    labels[:, :4] = UNKNOWN
    wanted = shares(labels.repeat_interleave(2, 1).repeat_interleave(2, 2))
    right = (wanted * 30).requires_grad_()
    wrong = torch.zeros_like(wanted).requires_grad_()
    assert parser_loss(right, wanted) < 0.02 < 1 < parser_loss(wrong, wanted)
    parser_loss(wrong, wanted).backward()
    assert (wrong.grad[:, :, :4] == 0).all() and (wrong.grad[:, :, 4:] != 0).any()


def test_distances_of_outlines() -> None:
    """Two discs with one centre: the difference of the radii; the photo's border is nobody's outline."""
    y, x = np.mgrid[0:200, 0:200] + 0.5
    disc = {r: np.hypot(x - 100, y - 100) < r for r in (60, 64)}
    everywhere = np.ones((200, 200), bool)
    assert outline_distance(disc[60], disc[64], everywhere) == pytest.approx(4, abs=0.3)
    assert outline_distance(disc[60], disc[60], everywhere) == 0
    half = x < 100
    assert outline_distance(disc[60] & half, disc[64] & half, half) == pytest.approx(4, abs=0.3)
    assert np.isnan(outline_distance(disc[60], ~everywhere, everywhere))


def test_measures_of_a_parser_that_knows_the_truth() -> None:
    source = made_up(side=300)
    truth = sample(source, 256, 1.0)[..., 3]
    labels = torch.from_numpy(np.where(truth == OUTSIDE, 0, truth).astype(np.int64))
    exact = torch.nn.functional.one_hot(labels, len(CLASSES)).permute(2, 0, 1)[None].float()
    perfect = measure_one(source, lambda image: exact)
    moved = measure_one(source, lambda image: exact.roll(8, -1))
    summary = summarise([perfect, moved])
    assert (perfect.shared == perfect.either).all() and perfect.off == 0
    assert 0.01 < moved.off < 8 / 256 and summary["all"]["outline_right"] == 0.5
    head = summary["made"]["head"]
    assert head == summary["all"]["head"] and 0.8 < head < 1
    assert len(as_markdown(summary).splitlines()) == 4 and set(REGIONS) < set(summary["all"])


@pytest.mark.slow
def test_the_script_trains_goes_on_and_packs(folder: Path, tmp_path: Path) -> None:
    work, out = tmp_path / "work", tmp_path / "out"

    def run(*arguments: object) -> None:
        command = [sys.executable, ROOT / "train" / "parsing.py", *arguments, "--work", work]
        done = subprocess.run([str(a) for a in command], capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 0, done.stderr[-1500:]

    run("samples", "--portraits", folder, "--turned", 2, "--backgrounds", 3)
    shapes = {name: np.load(work / f"{name}.npy").shape for name in ("straight", "turned", "backgrounds")}
    assert shapes["straight"] == (4, SIZE, SIZE, 4) and shapes["turned"] == (2, SIZE, SIZE, 4)
    assert shapes["backgrounds"] == (3, 256, 256, 3)
    assert not list(work.glob("*.partial"))
    run("train", "--minutes", 0.02)
    run("train", "--minutes", 0.04)
    lines = [json.loads(line) for line in (work / "log.jsonl").read_text().splitlines()]
    first, second = (line for line in lines if "minutes" in line)
    assert second["step"] > first["step"] >= 1 and second["minutes"] >= 0.04
    run("pack", "--out", out)
    weights = load_file(out / "parser.safetensors")
    assert {value.dtype for value in weights.values()} == {torch.float16}

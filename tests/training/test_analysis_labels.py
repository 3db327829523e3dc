"""The whole analysis on drawn faces whose codes are known, and the label file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from analysis_model import flip_expression, synthetic_arrays, synthetic_model
from PIL import Image
from safetensors.torch import save_file

from facesep.analysis.analyse import IDENTITY_SHARE, MIN_TRAIN, analyse, read_table
from facesep.analysis.components import Components, Standard
from facesep.analysis.depth import depth_map, head_triangles, vertex_normals
from facesep.analysis.labels import Labels
from facesep.analysis.landmarks import MEDIAPIPE_68
from facesep.analysis.lighting import shading
from facesep.camera import TEMPLATE_5, project, rotation_matrix
from facesep.codes import Codes
from facesep.data.prepare import prepare
from facesep.data.shards import ShardSet
from facesep.data.source import Prepared, Source
from facesep.errors import DataError
from facesep.nets.official.mobilefacenet import MobileFaceNet

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow
SIZE, COUNT = 64, MIN_TRAIN + 12


class Drawn(Source):
    """Faces of the synthetic model: flat skin, hair above, one colour of its own each."""

    name = "drawn"

    def __init__(self, count: int = COUNT) -> None:
        self.model = synthetic_model()
        g = torch.Generator().manual_seed(0)
        self.rotation = torch.randn(count, 3, generator=g) * torch.tensor([0.05, 0.2, 0.1])
        self.translation = torch.randn(count, 3, generator=g) * torch.tensor([0.03, 0.03, 0.02])
        self.identity = torch.randn(count, 3, generator=g)
        self.expression = torch.rand(count, 4, generator=g)
        self.neutral = torch.arange(count) < 30
        self.expression[self.neutral] = 0
        self.skin = 0.3 + 0.5 * torch.rand(count, 3, generator=g)
        self.hair = torch.rand(count, 3, generator=g)
        self.bald = torch.arange(count) % 9 == 0
        points = self.model.vertices(self.identity, self.expression, self.model.landmarks)
        self.seen = project(points, self.rotation, self.translation, SIZE)[..., :2].numpy()

    def names(self) -> list[str]:
        return [str(i) for i in range(len(self.skin))]

    def prepare(self, name: str, size: int) -> Prepared:
        i = int(name)
        points = self.model.vertices(self.identity[i : i + 1], self.expression[i : i + 1], slice(None))
        pose = self.rotation[i : i + 1], self.translation[i : i + 1]
        head = ~depth_map(points, head_triangles(self.model), *pose, size)[0].isnan()
        crown = project(torch.tensor([[0.0, 0.5, 0.0]]), *pose, size)[0, 0, 1]
        label = head.long() * torch.where(torch.arange(size)[:, None] < crown, 1 if self.bald[i] else 2, 1)
        colours = torch.stack((torch.ones(3), self.skin[i], self.hair[i]))
        image = (colours[label] * 255).round().byte().numpy()
        mesh = np.zeros((478, 3))
        mesh[list(MEDIAPIPE_68), :2] = self.seen[i]
        meta = {
            "name": name,
            "split": "train" if i < MIN_TRAIN else "val",
            "expression": "neutral" if self.neutral[i] else "",
            "points5": project(torch.tensor(TEMPLATE_5), *pose, size)[0, :, :2].tolist(),
            "landmarks": mesh.tolist(),
        }
        return Prepared(Image.fromarray(image), Image.fromarray(label.byte().numpy()), meta)


@pytest.fixture(scope="module")
def drawn() -> Drawn:
    return Drawn()


@pytest.fixture(scope="module")
def folder(drawn: Drawn, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    prepare(drawn, folder / "set", SIZE)
    torch.manual_seed(0)
    save_file(MobileFaceNet().state_dict(), str(folder / "identity.safetensors"))
    np.savez(folder / "model.npz", **synthetic_arrays())
    return folder


@pytest.fixture(scope="module")
def labels(drawn: Drawn, folder: Path) -> Labels:
    identity = MobileFaceNet.load(folder / "identity.safetensors")
    found = analyse(ShardSet(folder / "set"), drawn.model, identity, chunk=50)
    found.save(folder / "labels.safetensors")
    return Labels.load(folder / "labels.safetensors")


def test_pose_comes_back(drawn: Drawn, labels: Labels):
    codes = Codes.from_vector(labels.codes[:, 0])
    assert (codes.rotation - drawn.rotation).abs().mean() < 0.01
    assert (codes.translation - drawn.translation)[:, :2].abs().mean() < 0.01
    assert labels.rms.max() < 1.0 and labels.rms.shape == (COUNT,)


def test_expression_and_geometry_come_back(drawn: Drawn, labels: Labels):
    codes, decode = Codes.from_vector(labels.codes[:, 0]), labels.decode
    assert labels.names == drawn.model.expression_names
    assert (codes.expression[:, 4:] == 0).all()
    weights = Standard(decode["expression.mean"], decode["expression.std"]).undo(codes.expression[:, :4])
    assert torch.allclose(weights, decode["fit.expression"][:, 0], atol=1e-5)
    for k in range(4):
        assert np.corrcoef(weights[:, k], drawn.expression[:, k])[0, 1] > 0.9, labels.names[k]
    assert weights[drawn.neutral].max() < 0.15
    train = labels.codes[:MIN_TRAIN].flatten(0, 1)[:, 512 : 512 + 4]  # photos and mirror images together
    assert train.mean(0).abs().max() < 1e-4 and (train.std(0) - 1).abs().max() < 1e-3
    assert np.corrcoef(decode["fit.identity"][:, 0, 0], drawn.identity[:, 0])[0, 1] > 0.8


def test_shape_codes_lie_on_the_sphere_and_hold_both_parts(labels: Labels):
    shape = Codes.from_vector(labels.codes[:, 0]).shape
    assert torch.allclose(shape.norm(dim=1), torch.full((COUNT,), 512**0.5), atol=1e-3)
    assert (shape[:, 3 + 128 :] == 0).all()
    geometry = (labels.decode["fit.identity"][:, 0] - labels.decode["identity.mean"]) / labels.decode[
        "identity.std"
    ]
    # Both parts are scaled together; the embedding has length sqrt(128) before that.
    scale = shape[:, 3 : 3 + 128].norm(dim=1, keepdim=True) / 128**0.5
    assert torch.allclose(shape[:, :3] / scale, geometry * IDENTITY_SHARE, atol=1e-3)


def test_skin_and_hair_colours_are_in_the_texture(drawn: Drawn, labels: Labels):
    texture, decode = Codes.from_vector(labels.codes[:, 0]).texture, labels.decode
    albedo = Components(decode["texture.mean"], decode["texture.std"], decode["texture.basis"]).undo(
        texture[:, :76]
    )
    mean = albedo.unflatten(1, (-1, 3)).mean(1)
    for k in range(3):
        assert np.corrcoef(mean[:, k], drawn.skin[:, k])[0, 1] > 0.95
    hair = Standard(decode["hair_colour.mean"], decode["hair_colour.std"]).undo(texture[:, 76:])
    covered = ~drawn.bald
    assert (texture[drawn.bald, 76:] == 0).all()
    assert (hair[covered, :3] - drawn.hair[covered]).abs().mean() < 0.05


def test_codes_of_light_and_texture_paint_the_face_again(drawn: Drawn, labels: Labels):
    """Albedo times shading gives the flat colour that was drawn."""
    codes, decode = Codes.from_vector(labels.codes[:, 0]), labels.decode
    skin = Components(decode["texture.mean"], decode["texture.std"], decode["texture.basis"])
    albedo = skin.undo(codes.texture[:, :76]).unflatten(1, (-1, 3))
    normal = vertex_normals(drawn.model.neutral[None], drawn.model.triangles)[:, decode["texture.vertices"]]
    front = normal[0, :, 2] > 0.5
    turn = rotation_matrix(codes.rotation).transpose(1, 2)
    colour = albedo * shading(normal @ turn, codes.illumination / decode["illumination.scale"])
    assert (colour[:, front].mean(1) - drawn.skin).abs().mean() < 0.03


def test_mirror_images_have_mirrored_codes(labels: Labels):
    codes, mirrored = (Codes.from_vector(labels.codes[:, k]) for k in range(2))
    assert torch.allclose(mirrored.rotation, codes.rotation * torch.tensor([1.0, -1, -1]), atol=1e-3)
    assert torch.allclose(mirrored.translation, codes.translation * torch.tensor([-1.0, 1, 1]), atol=1e-3)
    assert torch.equal(mirrored.texture[:, :76], codes.texture[:, :76])
    weights = labels.decode["fit.expression"]
    assert torch.allclose(weights[:, 1], flip_expression(weights[:, 0]), atol=0.01)
    assert (mirrored.illumination - codes.illumination).abs().mean() > 1e-4
    assert (mirrored.hair - codes.hair).abs().mean() > 0.01


def test_hair_codes_decode_to_masks(labels: Labels):
    decode = labels.decode
    hair = Components(decode["hair.mean"], decode["hair.std"], decode["hair.basis"])
    masks = hair.undo(Codes.from_vector(labels.codes[:, 0]).hair).view(-1, 32, 32)
    bald = torch.arange(COUNT) % 9 == 0
    assert masks[bald].mean() < 0.02 and masks[~bald].mean() > 0.03
    assert masks[~bald][:, :16].mean() > 4 * masks[~bald][:, 16:].mean()


def test_depth_covers_the_drawn_head(folder: Path, labels: Labels):
    for index, sample in enumerate(ShardSet(folder / "set")):
        head, found = torch.from_numpy(sample.label > 0), ~labels.depth[index].isnan()
        assert (head & found).sum() > 0.95 * (head | found).sum()
    assert labels.depth.dtype == torch.float16 and labels.depth.nan_to_num(9).min() > 8.5


def test_labels_follow_the_ids_of_the_shards(folder: Path, labels: Labels):
    assert labels.ids.tolist() == ShardSet(folder / "set").ids.tolist()


def test_without_neutral_photos_all_calibrate(drawn: Drawn, folder: Path):
    from dataclasses import replace

    from facesep.analysis.analyse import fit_all

    table = read_table(ShardSet(folder / "set"))
    found, _ = fit_all(drawn.model, replace(table, neutral=torch.zeros_like(table.neutral)))
    assert (found.rotation[:COUNT] - drawn.rotation).abs().mean() < 0.02


def test_unusable_shards_are_refused(folder: Path, tmp_path: Path, drawn: Drawn):
    identity = MobileFaceNet.load(folder / "identity.safetensors")
    prepare(Drawn(5), tmp_path / "few", SIZE)
    with pytest.raises(DataError, match="5 photos in its train split"):
        analyse(ShardSet(tmp_path / "few"), drawn.model, identity)

    class Bare(Drawn):
        def prepare(self, name: str, size: int) -> Prepared:
            one = super().prepare(name, size)
            del one.meta["landmarks"]
            return one

    prepare(Bare(2), tmp_path / "bare", SIZE)
    with pytest.raises(DataError, match="no landmarks"):
        read_table(ShardSet(tmp_path / "bare"))


def test_damaged_label_files_are_refused(tmp_path: Path, labels: Labels):
    path = tmp_path / "labels.safetensors"
    with pytest.raises(DataError, match=r"labels\.safetensors"):
        Labels.load(path)
    labels.save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="cannot read"):
        Labels.load(path)
    save_file({"ids": labels.ids}, str(path))
    with pytest.raises(DataError, match="not a label file"):
        Labels.load(path)


def test_the_script_gives_the_same(folder: Path, labels: Labels, tmp_path: Path):
    command = [
        sys.executable,
        "train/analyse.py",
        str(folder / "set"),
        *("--morphable", str(folder / "model.npz")),
        *("--identity", str(folder / "identity.safetensors")),
        *("--out", str(tmp_path / "out.safetensors")),
    ]
    env = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=env)
    assert run.returncode == 0, run.stderr
    assert f"{COUNT} photos labelled" in run.stdout
    again = Labels.load(tmp_path / "out.safetensors")
    assert torch.allclose(again.codes, labels.codes, atol=1e-2)
    command[2] = str(tmp_path)
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=env)
    assert run.returncode == 2 and "no prepared shards" in run.stderr and "Traceback" not in run.stderr

"""Refined results say so in their metadata, and the evaluation refuses such files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from tiny_refiner import tiny_refiner

pytest.importorskip("diffusers")

from facesep.cli import main
from facesep.config import preset
from facesep.data.shards import encode_sample, stable_id, write_index, write_shard
from facesep.errors import DataError
from facesep.evaluation.renders import Renders, refined
from facesep.images import note_refined
from facesep.model import FaceSep
from facesep.provenance import REFINED_NOTICE, verify, write_image, write_video
from facesep.video import video_info

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def sep() -> FaceSep:
    torch.manual_seed(0)
    sep = FaceSep(preset("tiny"))
    sep.refiner = tiny_refiner()
    return sep


@pytest.fixture(scope="module")
def codes(sep):
    return sep.encode(torch.rand(3, sep.image_size, sep.image_size), aligned=True)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("marked", [True, False])
def test_files_of_refined_pictures_are_refused_and_others_are_not(sep, codes, tmp_path, suffix, marked):
    for name, refine in (("r", True), ("p", False)):
        folder = tmp_path / name
        folder.mkdir()
        write_image(sep.render(codes, refine=refine), folder / f"anna{suffix}", marked=marked)
    size = sep.image_size
    with pytest.raises(DataError, match="is refined"):
        Renders("ours", tmp_path / "r", size).read("anna")
    assert Renders("ours", tmp_path / "p", size).read("anna").shape == (3, size, size)
    assert verify(tmp_path / "r" / f"anna{suffix}").made_by_facesep


def test_webp_says_it_too(sep, codes, tmp_path):
    assert refined(write_image(sep.render(codes, refine=True), tmp_path / "a.webp"))
    assert not refined(write_image(sep.render(codes), tmp_path / "b.webp"))


def test_the_refiner_notes_it_by_itself_and_copies_keep_the_note(sep, codes, tmp_path):
    plain = sep.render(codes)
    assert "refined" not in plain.info
    one, (two,) = sep.refiner.refine(plain), sep.refiner.refine([plain])
    for number, picture in enumerate((one, two, one.copy(), one.resize((64, 64)), one.convert("RGB"))):
        path = write_image(picture, tmp_path / f"{number}.png")
        with Image.open(path) as image:
            assert REFINED_NOTICE in image.text["Comment"]
    assert "refined" not in plain.info


def test_batches_note_each_picture(sep, codes):
    assert all(picture.info["refined"] for picture in sep.render(codes.batch(), refine=True))


def test_videos_say_it_of_all_frames(sep, codes, tmp_path):
    sep.orbit(codes, tmp_path / "refined.mp4", frames=2, refine={"steps": 1})
    sep.orbit(codes, tmp_path / "plain.mp4", frames=2)
    assert REFINED_NOTICE in video_info(tmp_path / "refined.mp4").comment
    assert "refined" not in video_info(tmp_path / "plain.mp4").comment
    frames = [note_refined(Image.new("RGB", (32, 32), colour)) for colour in ("red", "green", "blue")]
    write_video(frames, tmp_path / "three.mp4")
    assert video_info(tmp_path / "three.mp4").frames == 3  # none is lost to the look at the first


@pytest.mark.slow
def test_a_table_of_refined_files_is_refused_from_end_to_end(sep, tmp_path):
    """Files of the real command, given to the real script."""
    sep.save_pretrained(tmp_path / "model")
    size, members = sep.image_size, []
    (tmp_path / "renders").mkdir()
    for name, refine in (("anna", []), ("ben", ["--refine"])):
        image, label = Image.effect_noise((size, size), 80).convert("RGB"), Image.new("L", (size, size), 1)
        image.save(tmp_path / f"{name}.png")
        command = ["render", str(tmp_path / f"{name}.png"), "-o", str(tmp_path / "renders" / f"{name}.png")]
        command += ["--checkpoint", str(tmp_path / "model"), "--aligned", "--quiet"]
        assert main([*command, *refine]) == 0
        meta = {"name": name, "split": "val", "person": name, "points5": [[size / 2] * 2] * 5}
        members.append(encode_sample(stable_id(name), image, label, meta))
    shards, out = tmp_path / "shards", tmp_path / "table.json"
    shards.mkdir()
    write_shard(shards / "00000.tar", members)
    write_index(shards, [shards / "00000.tar"], size)
    command = [sys.executable, ROOT / "eval" / "table2.py", "--checkpoint", tmp_path / "model"]
    command += ["--lpips", "none", "--identity", "none"]
    command += ["--shards", shards, "--renders", f"ours={tmp_path / 'renders'}", "--out", out]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, env=environment)
    assert done.returncode == 2 and not out.exists(), done.stdout
    assert done.stderr.splitlines()[-1].startswith("error:") and "ben.png is refined" in done.stderr

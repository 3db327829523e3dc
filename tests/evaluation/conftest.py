"""A small shard set of the credited photos and a tiny random checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from credited import SIZE, crop_and_label, points

from facesep.config import preset
from facesep.data.shards import encode_sample, stable_id, write_index, write_shard
from facesep.model import FaceSep

PEOPLE = {  # two invented couples of expressions, so that every script finds what it looks for
    "london_101": ("a", "neutral", "london_frl", "CC BY 4.0"),
    "gsa_smiling": ("a", "smiling", "gsa_pif", "CC0 1.0"),
    "london_099": ("b", "neutral", "london_frl", "CC BY 4.0"),
    "gsa_turned": ("c", "", "gsa_pif", "CC0 1.0"),
}


@pytest.fixture(scope="session")
def shards(tmp_path_factory) -> Path:
    """The four photos as the val split, and once more as the train split."""
    folder = tmp_path_factory.mktemp("shards")
    members = []
    for split in ("val", "train"):
        for name, (person, expression, origin, licence) in PEOPLE.items():
            image, label, crop = crop_and_label(name)
            meta = {
                "name": name,
                "split": split,
                "person": person,
                "expression": expression,
                "set": origin,
                "licence": licence,
                "credit": f"credit of {origin}",
                "crop": [crop.left, crop.top, crop.side],
                "points5": crop.to_canonical(points(name), SIZE).tolist(),
            }
            members.append(encode_sample(stable_id(f"{split}/{name}"), image, label, meta))
    write_shard(folder / "00000.tar", members)
    write_index(folder, [folder / "00000.tar"], SIZE)
    return folder


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> Path:
    """Random weights of the tiny preset."""
    folder = tmp_path_factory.mktemp("model") / "tiny"
    torch.manual_seed(0)
    FaceSep(preset("tiny")).save_pretrained(folder)
    return folder

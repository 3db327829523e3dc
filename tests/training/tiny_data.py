"""A few drawn heads as shards with labels, enough to run the training on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from safetensors.torch import save_file

from facesep.codes import CODE_LENGTH
from facesep.data.shards import encode_sample, stable_id, write_index, write_shard
from facesep.nets.crops import projected_points

SIZE = 64


def draw_head(index: int) -> tuple[Image.Image, Image.Image]:
    """An oval with its own skin and hair colour on a grey ground, and its label map."""
    generator = np.random.default_rng(index)
    skin, hair = (tuple(int(v) for v in generator.integers(40, 220, 3)) for _ in range(2))
    image, label = Image.new("RGB", (SIZE, SIZE), (120, 130, 140)), Image.new("L", (SIZE, SIZE))
    face = (16, 18, 48, 60)
    for picture, inside, above in ((image, skin, hair), (label, 1, 2)):
        pen = ImageDraw.Draw(picture)
        pen.ellipse((14, 8, 50, 44), fill=above)
        pen.ellipse(face, fill=inside)
    return image, label


def write_tiny(folder: Path, count: int = 6) -> tuple[Path, Path]:
    """Writes shards (all in the train split but one) and labels; returns both paths."""
    shards = folder / "shards"
    shards.mkdir(parents=True)
    points = projected_points(torch.zeros(1, 3), torch.zeros(1, 3), SIZE)[0].tolist()
    samples, ids = [], []
    for index in range(count):
        meta = {
            "name": f"head-{index}",
            "split": "val" if index == count - 1 else "train",
            "person": f"person-{index // 2}",
            "set": "drawn",
            "points5": points,
        }
        ids.append(stable_id(meta["name"]))
        samples.append(encode_sample(ids[-1], *draw_head(index), meta))
    write_shard(shards / "00000.tar", samples)
    write_index(shards, [shards / "00000.tar"], SIZE)
    codes = torch.randn(count, 2, CODE_LENGTH, generator=torch.Generator().manual_seed(0))
    codes[..., -6:] *= 0.02
    codes[..., :512] *= 512**0.5 / codes[..., :512].norm(dim=-1, keepdim=True)
    depth = torch.full((count, 16, 16), torch.nan)
    depth[:, 5:14, 5:12] = 9.5
    labels = folder / "labels.safetensors"
    save_file({"ids": torch.tensor(ids), "codes": codes, "depth": depth.half()}, str(labels))
    return shards, labels

"""The whole analysis: shards and an open face model in, labels for pretraining out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from facesep.analysis import fit as fitting
from facesep.analysis.components import Components, Standard
from facesep.analysis.depth import depth_map, head_triangles
from facesep.analysis.hair import SIZE as HAIR_SIZE
from facesep.analysis.hair import hair_colour, normalised_mask
from facesep.analysis.label_file import HAIR_COLOURS
from facesep.analysis.labels import DEPTH_SIZE, Labels
from facesep.analysis.landmarks import JAW, MEDIAPIPE_68, landmark_sigma, mirror
from facesep.analysis.morphable import EYEBALLS_END, FACE, MorphableModel
from facesep.analysis.texture import (
    Samples,
    fill_and_reduce,
    sample_colours,
    sample_vertices,
    separate,
)
from facesep.codes import CODE_SIZES
from facesep.data.labels import FACE as FACE_LABEL
from facesep.data.labels import HAIR as HAIR_LABEL
from facesep.data.shards import SPLITS, ShardSet
from facesep.errors import DataError
from facesep.nets.official.mobilefacenet import MobileFaceNet

IDLE = ("PupilDilate", "eyeLook")
"""Expressions that landmarks of the lids cannot show; they stay 0."""
MIN_TRAIN = 100
"""Fewer training photos do not carry the components of texture."""
MIN_NEUTRAL = 20
"""With fewer photos marked neutral the landmark offsets come from all photos."""
LIGHT_SCALE = 10.0
"""Lighting coefficients vary by a few hundredths; as codes they are scaled to the size of the others."""
IDENTITY_SHARE = 0.7
"""Weight of the standardised geometry against the recognition embedding in the shape code."""

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Table:
    """What the shards say about each photo, without pixels.

    Attributes:
        landmarks: ``Tensor[N, 68, 2]`` pixels at 256.
        points: ``Tensor[N, 5, 2]`` the same unit.
        train: ``bool Tensor[N]``.
        neutral: ``bool Tensor[N]``: marked as a neutral expression.
    """

    landmarks: Tensor
    points: Tensor
    train: Tensor
    neutral: Tensor


def read_table(shards: ShardSet) -> Table:
    """Reads landmarks and marks of all photos.

    Raises:
        DataError: if the shards carry no landmarks.
    """
    scale = fitting.SIZE / shards.size
    landmarks, points, neutral = [], [], []
    for index in range(len(shards)):
        meta = shards.meta(index)
        if "landmarks" not in meta:
            raise DataError(f"{shards.path} has no landmarks: the analysis needs a source that brings them")
        landmarks.append(np.asarray(meta["landmarks"], np.float32)[list(MEDIAPIPE_68), :2] * scale)
        points.append(np.asarray(meta["points5"], np.float32) * scale)
        neutral.append(meta.get("expression") == "neutral")
    train = torch.from_numpy(shards.splits == SPLITS.index("train"))
    return Table(
        torch.from_numpy(np.stack(landmarks)),
        torch.from_numpy(np.stack(points)),
        train,
        torch.tensor(neutral),
    )


def fit_all(model: MorphableModel, table: Table) -> tuple[fitting.Fit, Tensor]:
    """Fits photos and their mirror images.

    Returns:
        ``(fit, offset)``: all photos, then all mirror images; and the landmark offsets.
    """
    sigma = landmark_sigma()
    both = torch.cat((table.landmarks, mirror(table.landmarks, fitting.SIZE)))
    movable = torch.tensor([not name.startswith(IDLE) for name in model.expression_names])
    if int(table.neutral.sum()) >= MIN_NEUTRAL:
        chosen, allowed = table.neutral, torch.zeros_like(movable)
    else:
        chosen, allowed = torch.ones_like(table.neutral), movable
    offset = fitting.calibrate(model, both[chosen.repeat(2)], sigma, allowed)
    return fitting.fit(model, both, sigma, offset=offset, movable=movable), offset


def analyse(
    shards: ShardSet,
    model: MorphableModel,
    identity: MobileFaceNet,
    chunk: int = 64,
    progress: Progress | None = None,
) -> Labels:
    """Labels all photos of a shard set.

    Args:
        shards: photos with landmarks; components and deviations come from their train split.
        model: in the head frame.
        identity: frozen network for the identity half of the shape code.
        chunk: photos whose pixels are held at a time.
        progress: called with (stage, done, total).

    Raises:
        DataError: if the shards carry no landmarks or too few training photos.
    """
    table = read_table(shards)
    if int(table.train.sum()) < MIN_TRAIN:
        raise DataError(
            f"{shards.path} has {int(table.train.sum())} photos in its train split; "
            f"the analysis needs at least {MIN_TRAIN} to find components"
        )
    tell = progress or (lambda *_: None)
    tell("fit", 0, len(shards))
    found, offset = fit_all(model, table)
    read = _read_pixels(shards, model, identity, table, found, chunk, tell)
    tell("components", 0, 1)
    train = table.train.repeat(2)

    parts = separate(read.samples, table.train)
    skin = fill_and_reduce(parts.albedo, parts.seen, table.train, CODE_SIZES["texture"] - HAIR_COLOURS)
    colour = Standard.of(read.hair_colour[train & read.hair_present])
    texture = torch.cat(
        (
            skin.apply(parts.albedo.flatten(1)).repeat(2, 1),
            colour.apply(read.hair_colour) * read.hair_present[:, None],
        ),
        1,
    )
    hair = Components.of(read.hair_mask[train], CODE_SIZES["hair"])
    expression = Standard.of(found.expression[train], floor=0.05)
    geometry = Standard.of(found.identity[train], floor=0.25)
    embedding = read.embedding.repeat(2, 1) * read.embedding.shape[1] ** 0.5
    shape = torch.cat((geometry.apply(found.identity) * IDENTITY_SHARE, embedding), 1)
    shape = F.normalize(_pad(shape, CODE_SIZES["shape"]), dim=-1) * CODE_SIZES["shape"] ** 0.5

    codes = torch.cat(
        (
            shape,
            _pad(expression.apply(found.expression), CODE_SIZES["expression"]),
            texture,
            parts.gamma * LIGHT_SCALE,
            hair.apply(read.hair_mask),
            found.rotation,
            found.translation,
        ),
        1,
    )
    inner = found.residual[: len(shards), JAW.stop :]
    decode = {
        "identity.mean": geometry.mean,
        "identity.std": geometry.std,
        "expression.mean": expression.mean,
        "expression.std": expression.std,
        "texture.mean": skin.mean,
        "texture.std": skin.std,
        "texture.basis": skin.basis,
        "texture.vertices": read.vertices,
        "illumination.scale": torch.tensor(LIGHT_SCALE),
        "illumination.level": parts.level,
        "hair_colour.mean": colour.mean,
        "hair_colour.std": colour.std,
        "hair.mean": hair.mean,
        "hair.std": hair.std,
        "hair.basis": hair.basis,
        "landmarks.offset": offset,
        "fit.identity": torch.stack(found.identity.chunk(2), 1),
        "fit.expression": torch.stack(found.expression.chunk(2), 1),
    }
    return Labels(
        ids=torch.from_numpy(shards.ids.copy()),
        codes=torch.stack(codes.chunk(2), 1),
        depth=read.depth,
        rms=inner.square().sum(-1).mean(1).sqrt(),
        decode=decode,
        names=model.expression_names,
    )


@dataclass(frozen=True)
class Pixels:
    """What is read from the pixels; photos first, then mirror images, unless said otherwise.

    Attributes:
        vertices: ``int64 Tensor[V]`` at which colours are read.
        samples: colours, normals and weights there.
        hair_mask: ``Tensor[2N, 32 * 32]``.
        hair_colour: ``Tensor[2N, 4]``.
        hair_present: ``bool Tensor[2N]``.
        embedding: ``Tensor[N, 128]`` unit.
        depth: ``float16 Tensor[N, 64, 64]``.
    """

    vertices: Tensor
    samples: Samples
    hair_mask: Tensor
    hair_colour: Tensor
    hair_present: Tensor
    embedding: Tensor
    depth: Tensor


@torch.no_grad()
def _read_pixels(
    shards: ShardSet,
    model: MorphableModel,
    identity: MobileFaceNet,
    table: Table,
    found: fitting.Fit,
    chunk: int,
    tell: Progress,
) -> Pixels:
    count = len(shards)
    vertices = sample_vertices(model)
    narrow = model.triangles_within(torch.arange(len(model.neutral)) < FACE)
    head = head_triangles(model)
    rows: list[list[Tensor]] = [[], []]  # photos, mirror images
    embeddings, depths = [], []
    for start in range(0, count, chunk):
        tell("pixels", start, count)
        these = range(start, min(start + chunk, count))
        photos = [shards.sample(i) for i in these]
        image = torch.from_numpy(np.stack([p.image for p in photos])).permute(0, 3, 1, 2).float() / 255
        label = torch.from_numpy(np.stack([p.label for p in photos]))[:, None]
        scale = shards.size / fitting.SIZE
        embeddings.append(identity.embed(image, table.points[start : these.stop] * scale))
        for flipped in (False, True):
            s = slice(start + flipped * count, these.stop + flipped * count)
            if flipped:
                image, label = image.flip(-1), label.flip(-1)
            turn, shift = found.rotation[s], found.translation[s]
            points = model.vertices(found.identity[s], found.expression[s], slice(0, EYEBALLS_END))
            if not flipped:
                depths.append(depth_map(points, head, turn, shift, DEPTH_SIZE).half())
            face, hair = (label == FACE_LABEL).float(), (label == HAIR_LABEL).float()
            read = sample_colours(image, face, points[:, :FACE], narrow, vertices, turn, shift)
            colour, present = hair_colour(image, hair)
            mask = normalised_mask(hair, turn, shift).view(-1, HAIR_SIZE * HAIR_SIZE)
            rows[flipped].append([read.colour, read.normal, read.weight, mask, colour, present])
    columns = [torch.cat(parts) for parts in zip(*(rows[0] + rows[1]), strict=True)]
    return Pixels(vertices, Samples(*columns[:3]), *columns[3:], torch.cat(embeddings), torch.cat(depths))


def _pad(values: Tensor, size: int) -> Tensor:
    return F.pad(values, (0, size - values.shape[1]))

"""What photo detail gives: exactness, likeness, colours and expressions, beside the plain render.

Photos come from a portraits folder at their own resolution. Everything is measured on white, before marks.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from facesep.camera import rotation_matrix
from facesep.data.portraits import PortraitSource
from facesep.detail import Portrait
from facesep.errors import FaceError, ImageError
from facesep.evaluation import expression
from facesep.evaluation import hair as hair_transfer
from facesep.evaluation.identity import DlibIdentity, rank
from facesep.evaluation.mouth import MouthTool
from facesep.evaluation.pose import PoseTool, angle_between, constant_turn
from facesep.evaluation.statistics import Estimate, Row, Writer, estimate, percent
from facesep.images import to_image, to_tensor
from facesep.model import FaceSep

YAWS = (-40.0, -20.0, 20.0, 40.0)
SIZE = 512
"""Side of the measured pictures in pixels."""
COLOURS = ("texture", "illumination")
FACE = (0.40, 0.72), (0.34, 0.66)
"""First and last row and column of the face in the canonical image, as shares of its side."""
LEAST_CHANGE = 2.0
"""Change of colour (Lab) of the plain render below which its share is not asked for."""

Progress = Callable[[int, int], object]


@dataclass(frozen=True, eq=False)
class Sitter:
    """One photo: its portrait, its crop on the size of the measurement, and who it shows."""

    name: str
    person: str
    expression: str
    portrait: Portrait
    crop: Tensor


def read_sitters(
    sep: FaceSep,
    folder: str | Path,
    split: str,
    limit: int | None,
    without: Sequence[str],
    on_photo: Progress | None = None,
) -> list[Sitter]:
    """Portraits of a portraits folder, taken evenly; photos without a usable face are passed over.

    Args:
        sep: the model.
        folder: with ``index.csv``.
        split: ``train`` or ``val``.
        limit: only so many photos.
        without: names of sets that are left out.
        on_photo: called with the numbers of photos done and to do.
    """
    source = PortraitSource(folder)
    names = [
        name
        for name in source.names()
        if source.facts(name)["split"] == split and name.partition("/")[0] not in without
    ]
    if limit is not None and limit < len(names):
        names = [names[round(k * len(names) / limit)] for k in range(limit)]
    found = []
    for done, name in enumerate(names, 1):
        facts = source.facts(name)
        try:
            portrait = sep.portrait(source.path(name), face=0)
        except (FaceError, ImageError):
            continue
        frame = portrait.frames[0]
        crop = to_tensor(frame.crop.apply(frame.photo, SIZE))
        found.append(Sitter(name, facts["person"] or name, facts["expression"], portrait, crop))
        if on_photo:
            on_photo(done, len(names))
    return found


def exactness(sep: FaceSep, sitters: Sequence[Sitter]) -> int:
    """Largest difference between photos and their results without an edit, of 255."""
    worst = 0
    for one in sitters:
        photo = one.portrait.frames[0].photo
        kept = sep.render(one.portrait, background="keep")
        worst = max(worst, int(np.abs(np.asarray(kept, np.int16) - np.asarray(photo, np.int16)).max()))
    return worst


def likeness(
    sep: FaceSep,
    sitters: Sequence[Sitter],
    identity: DlibIdentity,
    seed: int = 0,
    on_view: Progress | None = None,
) -> dict[str, dict[str, Estimate | None]]:
    """Distance to the own photo, and whether it is the nearest of all, by view and form.

    Returns:
        ``{"yaw -40": {"detail distance": ..., "detail nearest": ..., "plain distance": ..., ...}, ...}``, and
        under ``texture`` and ``illumination`` the same for transfers from the next person in the list.
    """
    people = [one.person for one in sitters]
    points = torch.zeros(1, 5, 2)
    photos = np.concatenate([identity.embed_all(one.crop[None], points) for one in sitters])
    found: dict[str, dict[str, Estimate | None]] = {}
    views: list[tuple[str, float | None, str | None]] = [(f"yaw {yaw:+.0f}", yaw, None) for yaw in YAWS]
    views += [(name, None, name) for name in COLOURS]
    for done, (title, yaw, attribute) in enumerate(views, 1):
        found[title] = {}
        for form, detail in (("detail", True), ("plain", False)):
            pictures = []
            for k, one in enumerate(sitters):
                face = one.portrait
                if attribute:
                    face = face.swap(sitters[(k + 1) % len(sitters)].portrait, attribute)
                size = SIZE if detail else None
                image = sep.render(face, yaw=yaw, size=size, detail=detail, output="tensor")
                pictures.append(identity.embed_all(image[None].clamp(0, 1), points)[0])
            ranking = rank(np.stack(pictures), photos, people)
            found[title][f"{form} distance"] = estimate(ranking.distance, people, seed=seed)
            found[title][f"{form} nearest"] = estimate(ranking.nearest, people, seed=seed)
        if on_view:
            on_view(done, len(views))
    return found


def skin(image: Tensor) -> np.ndarray:
    """Mean colour of the middle of the face, ``float64[3]`` in CIE Lab."""
    from skimage.color import rgb2lab

    size = image.shape[-1]
    rows, columns = (slice(round(first * size), round(last * size)) for first, last in FACE)
    return rgb2lab(image[:, rows, columns].permute(1, 2, 0).clamp(0, 1).cpu().numpy()).reshape(-1, 3).mean(0)


def colour_shares(sep: FaceSep, sitters: Sequence[Sitter], seed: int = 0) -> dict[str, Estimate | None]:
    """How much of the plain render's change of skin colour the detailed result makes, by attribute.

    The projection of the one change onto the other over its squared length, for transfers from the next
    person in the list, where the plain render changes by at least ``LEAST_CHANGE``.
    """
    people = [one.person for one in sitters]
    found = {}
    for attribute in COLOURS:
        shares = []
        for k, one in enumerate(sitters):
            edited = one.portrait.swap(sitters[(k + 1) % len(sitters)].portrait, attribute)
            change = []
            for detail in (True, False):
                size = SIZE // 2 if detail else None
                before, after = (
                    sep.render(face, size=size, detail=detail, output="tensor")
                    for face in (one.portrait, edited)
                )
                change.append(skin(after) - skin(before))
            length = float(change[1] @ change[1])
            shares.append(float(change[0] @ change[1]) / length if length > LEAST_CHANGE**2 else math.nan)
        found[attribute] = estimate(np.array(shares), people, seed=seed)
    return found


def expressions(
    sep: FaceSep, sitters: Sequence[Sitter], distance: Callable[[Tensor, Tensor], Tensor], seed: int = 0
) -> dict[str, Estimate | None]:
    """Neutral to smiling and back, with the codes of the person's other photo, which is the truth.

    No pixels come from the other photo. Distances of the face (a box around it) to that photo, in its pose;
    ``unmoved`` has the expression of the photo as it was.
    """
    found: dict[str, list[float]] = {"detail": [], "plain": [], "unmoved": []}
    people = []
    for base, other in _both_ways(sitters):
        moving = {
            name: getattr(other.portrait.codes, name) for name in ("expression", "rotation", "translation")
        }
        posed = base.portrait.replace(**{name: moving[name] for name in ("rotation", "translation")})
        truth = _face(other.crop, other.portrait.base.matte)
        moved = base.portrait.replace(**moving)
        forms = {
            "detail": sep.render(moved, size=SIZE, output="tensor"),
            "plain": sep.render(moved, size=SIZE, detail=False, output="tensor"),
            "unmoved": sep.render(posed, size=SIZE, output="tensor"),
        }
        for form, image in forms.items():
            found[form].append(float(distance(_box(image)[None], truth[None])))
        people.append(base.person)
    return {form: estimate(np.array(values), people, seed=seed) for form, values in found.items()}


def hair(sep: FaceSep, sitters: Sequence[Sitter], command: str, seed: int = 0) -> dict[str, dict[str, dict]]:
    """Hair of another person's photo, by a hair segmentation, see ``facesep.evaluation.hair``.

    Args:
        sep: the model.
        sitters: sources and donors.
        command: the segmentation, see ``facesep.evaluation.hair.measure``.
        seed: of the draw of donors and of the bootstrap.

    Returns:
        ``{"detail": {"all": {"donor nearer": ...}, ...}, "plain": ...}``.
    """
    people = [one.person for one in sitters]
    donors = hair_transfer.draw(people, seed)
    photos = [to_image(_laid(one.crop, one.portrait.base.matte)) for one in sitters]
    found = {}
    for form, detail in (("detail", True), ("plain", False)):
        before = [sep.render(one.portrait, size=SIZE, detail=detail) for one in sitters]
        after = [
            sep.render(one.portrait.swap(sitters[donor].portrait, "hair"), size=SIZE, detail=detail)
            for one, donor in zip(sitters, donors, strict=True)
        ]
        compared = hair_transfer.compare(photos, before, after, donors, command)
        found[form] = hair_transfer.summarise(compared, people, seed)
    return found


def mouths(
    sep: FaceSep, sitters: Sequence[Sitter], tool: MouthTool, seed: int = 0
) -> dict[str, list[expression.Summary]]:
    """Whether mouths move towards the donor's, see ``facesep.evaluation.expression``.

    Each person's neutral photo takes the expression of the smiling one, and the other way round.
    """
    found = {}
    for form, detail in (("detail", True), ("plain", False)):

        def shown(face: Portrait, detail: bool = detail) -> Image.Image:
            return sep.render(face, size=SIZE, detail=detail)

        pictures = [
            expression.Pictures(
                base.person,
                f"{base.expression} to {donor.expression}",
                shown(base.portrait),
                shown(base.portrait.swap(donor.portrait, "expression")),
                shown(donor.portrait),
                to_image(base.crop),
                to_image(donor.crop),
            )
            for base, donor in _both_ways(sitters)
        ]
        found[form] = expression.summarise(pictures, tool, seed)[0]
    return found


def _both_ways(sitters: Sequence[Sitter]) -> list[tuple[Sitter, Sitter]]:
    """Photos of the people with two expressions, the neutral one first, then the other way round."""
    pairs: dict[str, dict[str, Sitter]] = {}
    for one in sitters:
        if one.expression:
            pairs.setdefault(one.person, {})[one.expression] = one
    both = [
        tuple(sorted(one.values(), key=lambda s: s.expression)) for one in pairs.values() if len(one) == 2
    ]
    return [pair for a, b in both for pair in ((a, b), (b, a))]


def poses(
    sep: FaceSep, sitters: Sequence[Sitter], tool: PoseTool, seed: int = 0
) -> dict[str, dict[str, Estimate | None]]:
    """Angle between the pose asked for and the one that a network reads off results, by view and form.

    The constant turn between the conventions of network and codes is estimated on the photos.
    """
    people = [one.person for one in sitters]
    photos = torch.stack([_laid(one.crop, one.portrait.base.matte) for one in sitters])
    own = torch.stack([one.portrait.codes.rotation.float().cpu() for one in sitters])
    offset = constant_turn(rotation_matrix(own), tool.rotations(photos))
    found: dict[str, dict[str, Estimate | None]] = {}
    for yaw in YAWS:
        angles = own.clone()
        angles[:, 1] = math.radians(yaw)
        expected, row = rotation_matrix(angles) @ offset, {}
        for form, detail in (("detail", True), ("plain", False)):
            images = torch.stack(
                [
                    sep.render(one.portrait, yaw=yaw, size=SIZE, detail=detail, output="tensor")
                    .cpu()
                    .clamp(0, 1)
                    for one in sitters
                ]
            )
            row[form] = estimate(angle_between(expected, tool.rotations(images)).numpy(), people, seed=seed)
        found[f"yaw {yaw:+.0f}"] = row
    return found


def _laid(crop: Tensor, matte: Tensor) -> Tensor:
    from facesep.detail.flow import resize

    alpha = resize(matte.cpu(), crop.shape[-1])[0].clamp(0, 1)
    return crop * alpha + 1 - alpha


def _box(image: Tensor) -> Tensor:
    size = image.shape[-1]
    return image[:, round(0.28 * size) : round(0.85 * size), round(0.22 * size) : round(0.78 * size)]


def _face(crop: Tensor, matte: Tensor) -> Tensor:
    return _box(_laid(crop, matte))


NOTE = (
    "{photos} photos of {people} people ({split}), taken evenly, results on white at {size} px, unmarked. "
    "'dlib': distance of the descriptors of result and photo; 'nearest': share of results whose own photo is "
    "the nearest of all these people. Texture, light and hair come from another person of the list. 'skin "
    "colour': how much of the plain render's change of mean skin colour (Lab) is made. 'pose': angle between "
    "the pose asked for and the one that 3DDFA reads off. 'expression': codes of the person's other photo, "
    "none of its pixels; ST-LPIPS of the face to that photo ('unmoved' keeps the old expression). 'mouth' "
    "(MediaPipe) and 'hair' (PrismaNet or another tool) are measured as for plain renders, with the donor's "
    "pixels. In brackets 95 % bootstrap intervals over people."
)


def rows(found: Mapping[str, Any]) -> list[Row]:
    """The table of everything that was measured: photo detail beside the plain render.

    Args:
        found: results by the name of the part.
    """
    two, three, degrees = "{:.2f}".format, "{:.3f}".format, "{:.1f} degrees".format
    lines: list[Row] = []

    def add(title: str, detail: Estimate | None, plain: Estimate | None, write: Writer) -> None:
        texts = [one.text(write) if one else "" for one in (detail, plain)]
        lines.append({"measure": title, "photo detail": texts[0], "plain render": texts[1]})

    if found.get("exactness") is not None:
        title = "no edit, background kept: largest difference of 255"
        lines.append({"measure": title, "photo detail": str(found["exactness"]), "plain render": ""})
    for view, one in (found.get("likeness") or {}).items():
        add(f"dlib, {view}", one["detail distance"], one["plain distance"], three)
        add(f"nearest, {view}", one["detail nearest"], one["plain nearest"], percent)
    for name, share in (found.get("colours") or {}).items():
        add(f"skin colour, {name}", share, None, percent)
    for view, one in (found.get("pose") or {}).items():
        add(f"pose, {view}", one["detail"], one["plain"], degrees)
    if one := found.get("expression"):
        add("expression", one["detail"], one["plain"], three)
        add("expression, unmoved", one["unmoved"], None, three)
    if one := found.get("mouths"):
        detail, plain = one["detail"][-1], one["plain"][-1]
        add("mouth, towards the donor", detail.towards, plain.towards, percent)
        add("mouth, way", detail.way, plain.way, percent)
    if one := found.get("hair"):
        for kind in one["detail"]:
            detail, plain = one["detail"][kind], one["plain"][kind]
            for column, write in (("donor nearer", percent), ("overlap with donor", two)):
                add(f"hair, {kind}, {column}", detail[column], plain[column], write)
    return lines


def quiet() -> None:
    """Far turns and odd photos are expected here."""
    warnings.simplefilter("ignore")

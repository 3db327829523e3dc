"""The picture: photos moved and recoloured, and the render where no photo shows the head."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from facesep.codes import Codes
from facesep.constants import constant
from facesep.detail.flow import (
    STEEPNESS,
    Surface,
    alike,
    beyond,
    blur,
    continued,
    drop,
    facing,
    harden,
    lift,
    outline,
    pixel_grid,
    resize,
    sample,
    surface,
    visible,
)
from facesep.detail.motion import EDGE, move
from facesep.detail.source import Source, repainted
from facesep.nets.decoder import Decoder
from facesep.nets.finish import Draft
from facesep.nets.landmarks import LandmarkHead

GRID = 128
"""Cells along a side of the fields of places and confidence."""
FLOOR = 0.02
"""Light that is added to both sides of a ratio of renders, so that black stays black."""
LARGEST_RATIO = 4.0
CENTRE = (0.0, 0.1, -0.3)
"""Middle of the head in its frame, decimetres: outlines are seen from there."""
SOLID_RENDER = 0.9
EDGE_OF_RENDER = 48
"""The edge of a render is one of so many parts of its side."""
SHARP = 4.0
"""Steepness of the step between what lies inside the outline and beyond it: about a pixel wide."""
HAIR_EDGE = 1.8
"""Steepness of the edge of hair that stands alone."""
TONE = 10.0
"""Blur of the tone that the render takes from the photo, pixels of the render at 128."""


class Layer(NamedTuple):
    """A photo's head in the view of a result.

    Attributes:
        colours: ``Tensor[B, 3, S, S]``, recoloured.
        alpha: ``Tensor[B, 1, S, S]``, the head's matte.
        hair: ``Tensor[B, 1, S, S]``.
        confidence: ``Tensor[B, 1, S, S]``, how well the photo shows what is there.
        mouth: ``Tensor[B, 1, S, S]`` in 0..1, inside of the open mouth.
        points: ``Tensor[B, 3, n, n]`` decimetres, the result's surface in the head frame of the photo.
    """

    colours: Tensor
    alpha: Tensor
    hair: Tensor
    confidence: Tensor
    mouth: Tensor
    points: Tensor


Finishing = Callable[[Draft], Tensor]
"""Gives colours in place of a draft's, such as ``facesep.nets.finish.Finish``."""


class Picture(NamedTuple):
    """A head without background.

    Attributes:
        colours: ``Tensor[B, 3, S, S]`` in 0..1, not multiplied by alpha.
        alpha: ``Tensor[B, 1, S, S]`` in 0..1.
        confidence: ``Tensor[B, 1, S, S]`` in 0..1: 1 is the photo, 0 the render.
    """

    colours: Tensor
    alpha: Tensor
    confidence: Tensor


def linear(image: Tensor) -> Tensor:
    """Light of sRGB values, by a gamma of 2 (which costs a product where 2.2 costs a power)."""
    return image.clamp(0, 1).square()


def display(light: Tensor) -> Tensor:
    """The inverse of ``linear``."""
    return light.clamp(1e-6, 1.0).sqrt()


def ratio(decoder: Decoder, source: Source, codes: Codes) -> Tensor:
    """What other texture and light multiply the light of a photo by, ``Tensor[B, 3, m, m]``.

    The quotient of two renders of the photo's own geometry, low frequencies alone.
    """
    other = source.codes.replace(texture=codes.texture, illumination=codes.illumination)
    before, after = source.plain, repainted(decoder, other)
    whole = (resize(source.opacity, before.shape[-1]) > SOLID_RENDER).float()
    quotient = (linear(after) + FLOOR) / (linear(before) + FLOOR)
    return blur(continued(quotient, whole), 0.8).clamp(1 / LARGEST_RATIO, LARGEST_RATIO)


def pull(
    decoder: Decoder,
    head: LandmarkHead | None,
    source: Source,
    codes: Codes,
    seen: Surface,
    solid: Tensor,
    recolour: bool = True,
) -> Layer:
    """Moves a photo into the view of a result.

    Args:
        decoder: the decoder D.
        head: gives landmarks; None where the checkpoint has none: skin then moves rigidly.
        source: the photo.
        codes: of the result.
        seen: surface of the result.
        solid: its outline at the size of the result, ``Tensor[B, 1, S, S]``.
        recolour: whether texture or light differ from the photo's.
    """
    size, depth = solid.shape[-1], resize(seen.depth, GRID, "bicubic")
    points = lift(depth, codes)
    mouth, shown = torch.full_like(depth, -1.0), torch.ones_like(depth)
    if head is not None:
        points, mouth, shown = move(points, head(codes), head(source.codes))
    places, behind = drop(points, source.codes)
    confidence = visible(behind, sample(source.depth, places)) * facing(places)
    confidence = torch.maximum(blur(confidence, 2.0).clamp(0, 1), alike(codes, source.codes))

    around, grid = pixel_grid(GRID, places), pixel_grid(size, places)
    inner = resize(places - around, size)
    middle = constant(CENTRE, depth).view(1, 3, 1, 1).expand(len(depth), -1, 1, 1)
    covered, covers = (harden(resize(each, GRID, "bicubic")) for each in (seen.opacity, source.opacity))
    result, photo = outline(covered, drop(middle, codes)[0]), outline(covers, drop(middle, source.codes)[0])
    outer = resize(beyond(around[None], result, photo) - around, size)
    within = solid > 0.5
    # Toward its outline what the photo does not show becomes what it shows beside the outline.
    deep = ((resize(seen.opacity, size) - 0.5) / (SOLID_RENDER - 0.5)).clamp(0, 1)
    confidence = resize(confidence, size)
    own = torch.maximum(deep, confidence) * within

    layers = torch.cat((source.colours, source.matte, source.hair), 1)
    beside = sample(layers, outer + grid)
    pixels = torch.lerp(beside, sample(layers, inner + grid), own)
    at = torch.where(within, inner, outer) + grid
    framed = ((at > 0) & (at < 1)).all(1, keepdim=True)
    colours, matte, hair = pixels.split((3, 1, 1), 1)
    # Beyond the crop's border the head goes on where it touches the border, as the render draws it.
    matte, hair = torch.where(framed, matte, matte * solid * within), hair * framed
    if recolour:
        colours = display(linear(colours) * resize(sample(ratio(decoder, source, codes), places), size))
    sure = torch.lerp(torch.ones_like(solid), confidence, own)
    # Outside the outline hair fades out, skin (a neck) ends; the inside goes as far, without a crack.
    edge = ended(beside[:, 3:4], beside[:, 4:]) * framed
    alpha = torch.lerp(solid, matte, sure)
    alpha = torch.lerp(edge, alpha + (1 - alpha) * edge * (1 - deep), harden(solid, SHARP))
    sure = sure * framed
    hole = (resize(mouth, size) / EDGE + 0.5).clamp(0, 1)
    sure = sure * (1 - hole * (1 - resize(shown, size)))
    return Layer(colours.clamp(0, 1), alpha, hair, sure, hole, points)


def reflected(
    decoder: Decoder, source: Source, codes: Codes, points: Tensor, size: int, recolour: bool
) -> tuple[Tensor, Tensor]:
    """What a photo shows at the same places of the other half of the head.

    Args:
        decoder: the decoder D.
        source: the photo.
        codes: of the result.
        points: ``Tensor[B, 3, n, n]``, the result's surface in the head frame of the photo.
        size: side of the result in pixels.
        recolour: whether texture or light differ from the photo's.

    Returns:
        ``Tensor[B, 3, S, S]`` colours and ``Tensor[B, 1, S, S]`` in 0..1, how well the photo shows them.
    """
    places, behind = drop(points * constant((-1.0, 1.0, 1.0), points).view(3, 1, 1), source.codes)
    turned = torch.cat((-places[:, :1], places[:, 1:]), 1)
    known = visible(behind, sample(source.depth, places)) * facing(turned)
    pixels = sample(torch.cat((source.colours, source.matte), 1), resize(places, size))
    colours, matte = pixels.split((3, 1), 1)
    if recolour:
        colours = display(linear(colours) * resize(sample(ratio(decoder, source, codes), places), size))
    return colours.clamp(0, 1), resize(blur(known, 2.0), size).clamp(0, 1) * matte


def ended(matte: Tensor, hair: Tensor) -> Tensor:
    """A matte whose skin ends, and whose hair fades: a head that stands alone has no haze around it.

    Args:
        matte: ``Tensor[B, 1, n, n]`` in 0..1.
        hair: the part of it that is hair, of the same shape.
    """
    return torch.lerp(harden(matte), harden(matte, HAIR_EDGE), (hair / matte.clamp_min(1e-3)).clamp(0, 1))


def inside(opacity: Tensor, count: int) -> Tensor:
    """Pixels of a render that show the head alone, 0 or 1: its edge is mixed with white.

    Args:
        opacity: ``Tensor[B, 1, n, n]``.
        count: side of the render in pixels.
    """
    solid = (resize(opacity, count) > SOLID_RENDER).float()
    return -F.max_pool2d(-solid, 2 * (count // EDGE_OF_RENDER) + 1, 1, count // EDGE_OF_RENDER)


def filled(plain: Tensor, opacity: Tensor, layer: Layer) -> Tensor:
    """The render at the layer's size, its tone that of the photo beside it."""
    count, size = plain.shape[-1], layer.colours.shape[-1]
    solid = inside(opacity, count)
    render = continued(plain, solid)
    weight = resize(layer.confidence * layer.alpha, count) * solid
    sigma = TONE * count / 128
    photo = blur(linear(resize(layer.colours, count)) * weight, sigma)
    light = linear(render)
    model = blur(light * weight, sigma)
    tone = ((photo + 1e-3) / (model + 1e-3)).clamp(0.4, 2.5)
    if size != count:
        light = linear(resize(render, size, "bicubic"))
    return display(light * resize(tone, size))


def compose(
    decoder: Decoder,
    head: LandmarkHead | None,
    base: Source,
    codes: Codes,
    size: int,
    *,
    hair: Source | None = None,
    regrown: Tensor | None = None,
    mouth: Source | None = None,
    mouth_share: float | Tensor = 1.0,
    recolour: bool = True,
    finish: Finishing | None = None,
) -> Picture:
    """Renders codes with the pixels of photos.

    Args:
        decoder: the decoder D.
        head: the checkpoint's landmark head.
        base: the photo that gives the head.
        codes: of the result, a batch as long as the photos.
        size: side of the result in pixels.
        hair: the photo that gives the hair; None for the base's own or, where it was taken away, the render.
        regrown: ``Tensor[B, 1, 1, 1]`` in 0..1, how much of the base's hair is replaced; None for nothing.
        mouth: the photo that gives what open lips show.
        mouth_share: how much of it, 0 to 1; the render shows the rest.
        recolour: whether texture or light differ from the base's; donors are always recoloured.
        finish: completes what the photos do not show; None leaves the render there.
    """
    rendering = decoder(codes)
    seen, plain = surface(rendering), rendering.image.float()
    solid = harden(resize(seen.opacity, size, "bicubic"))
    layer = pull(decoder, head, base, codes, seen, solid, recolour)
    colours, alpha, sure, strands = layer.colours, layer.alpha, layer.confidence, layer.hair
    if regrown is not None:
        sure = sure * (1 - regrown * layer.hair)
        alpha = torch.lerp(alpha, solid, regrown * (STEEPNESS * layer.hair).clamp(0, 1))  # its soft edge, too
        strands = strands * (1 - regrown)
    fill = filled(plain, seen.opacity, layer._replace(confidence=sure * (1 - layer.hair)))
    colours = torch.lerp(fill, colours, sure)
    other = None
    if mouth is not None:
        other = pull(decoder, head, mouth, codes, seen, solid)
        share = mouth_share * layer.mouth * (1 - layer.confidence) * other.confidence
        colours, sure = torch.lerp(colours, other.colours, share), torch.maximum(sure, share)
    if hair is not None:
        if other is None or hair is not mouth:
            other = pull(decoder, head, hair, codes, seen, solid)
        share = other.hair * other.confidence * (1 if regrown is None else regrown)
        colours, alpha = torch.lerp(colours, other.colours, share), torch.maximum(alpha, share)
        sure, strands = torch.maximum(sure, share), torch.maximum(strands, share)
    colours = colours.clamp(0, 1)
    if finish is not None:
        mirrored = reflected(decoder, base, codes, layer.points, size, recolour)
        colours = finish(Draft(colours, sure, alpha, strands, fill, *mirrored, layer.points))
    return Picture(colours, alpha, sure)

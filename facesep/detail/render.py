"""From a portrait to a picture, and a picture onto a background."""

from __future__ import annotations

import torch
from PIL import Image, ImageColor
from torch import Tensor

from facesep.checks import shown, whole
from facesep.detail.compose import Finishing, Picture, compose, display, ended, inside, linear, ratio
from facesep.detail.flow import continued, harden, resize
from facesep.detail.portrait import Portrait
from facesep.detail.source import MOST_PIXELS
from facesep.errors import ConfigError
from facesep.nets.decoder import Decoder, Rendering
from facesep.nets.landmarks import LandmarkHead

LEAST_SIZE = 16
MOST_ENLARGED, ENOUGH = 1.5, 512
"""Without a size, small photos are enlarged up to this many times, towards so many pixels."""
Background = str | tuple[int, int, int]
"""``white``, ``transparent``, ``keep`` (the photo) or a colour: a name, ``#rrggbb`` or values 0..255."""


def choose_size(resolution: float, least: int) -> int:
    """The side of a result that a photo can give: its own, or a little more for small ones.

    Args:
        resolution: pixels of the photo along a side of the canonical crop.
        least: side of the model's renders.
    """
    wanted = max(resolution, min(MOST_ENLARGED * resolution, ENOUGH))
    return int(min(max(round(wanted), least), MOST_PIXELS))


def check_size(size: int) -> int:
    """Makes sure that a side in pixels is possible.

    Raises:
        ConfigError: for something that is not a whole number from 16 to 1024.
    """
    return whole(size, "size", LEAST_SIZE, MOST_PIXELS)


def colour(background: Background) -> tuple[int, int, int]:
    """Red, green and blue of a background, 0..255.

    Raises:
        ConfigError: for something that is not a colour.
    """
    try:
        if isinstance(background, str):
            return ImageColor.getrgb(background)[:3]
        red, green, blue = (int(value) for value in background if isinstance(background, list | tuple))
        if all(0 <= value <= 255 for value in (red, green, blue)):
            return red, green, blue
    except (ValueError, TypeError, OverflowError):
        pass
    raise ConfigError(
        "background must be 'white', 'transparent', 'keep' or a colour such as 'navy' or '#204060', "
        f"got {shown(background)}"
    )


def check_background(background: Background) -> None:
    """Makes sure that a background is one.

    Raises:
        ConfigError: for something else.
    """
    if not isinstance(background, str) or background not in ("keep", "transparent"):
        colour(background)


def lay(picture: Picture, background: Background) -> Tensor:
    """Lays heads on a background.

    Returns:
        ``Tensor[B, 3, S, S]`` in 0..1; ``[B, 4, S, S]`` with straight alpha for ``transparent``.

    Raises:
        ConfigError: for something that is not a colour.
    """
    if background == "transparent":
        return torch.cat((picture.colours, picture.alpha), 1)
    ground = torch.tensor(colour(background), dtype=picture.alpha.dtype, device=picture.alpha.device) / 255
    return torch.lerp(ground.view(1, 3, 1, 1), picture.colours, picture.alpha)


def plain_picture(rendering: Rendering, size: int) -> Picture:
    """The model's render without its white background."""
    image = rendering.image.float().clamp(0, 1)
    colours = continued(image, inside(rendering.opacity.float(), image.shape[-1]))
    alpha = harden(resize(rendering.opacity.float(), size, "bicubic"))
    return Picture(resize(colours, size, "bicubic").clamp(0, 1), alpha, torch.zeros_like(alpha))


@torch.no_grad()
def picture(
    decoder: Decoder,
    head: LandmarkHead | None,
    portrait: Portrait,
    size: int,
    alone: bool = True,
    finish: Finishing | None = None,
) -> Picture:
    """Renders portraits with the pixels of their photos.

    Args:
        decoder: the decoder D.
        head: the checkpoint's landmark head; None where it has none.
        portrait: one or a batch.
        size: side of the result in pixels.
        alone: whether the head will stand without its photo, so that its neck must end.
        finish: completes what the photos do not show; None leaves the render there.
    """
    codes, base = portrait.codes.batch(), portrait.base
    if not portrait.moved:
        return _recoloured(decoder, portrait, size, alone)
    count = len(codes)
    donors = {name: donor.expand(count) for name, donor in portrait.donors.items()}
    result = compose(
        decoder,
        head,
        base,
        codes,
        size,
        hair=donors.get("hair"),
        regrown=portrait.regrown,
        mouth=donors.get("expression"),
        mouth_share=portrait.shares.get("expression", 1.0),
        recolour=portrait.recoloured,
        finish=finish,
    )
    if portrait.other is not None and portrait.other[1] > 0:
        other, amount = portrait.other
        second = picture(decoder, head, other, size, alone, finish)
        result = Picture(*(torch.lerp(a, b, amount) for a, b in zip(result, second, strict=True)))
    return result


def _recoloured(decoder: Decoder, portrait: Portrait, size: int, alone: bool) -> Picture:
    """The photo where it stands, with the texture and light of the codes: no pixel moves."""
    base, codes = portrait.base, portrait.codes.batch()
    colours, alpha, hair = (
        resize(each, size, "bicubic").clamp(0, 1) for each in (base.colours, base.matte, base.hair)
    )
    if alone:
        alpha = ended(alpha, hair)
    if not portrait.untouched:
        colours = display(linear(colours) * resize(ratio(decoder, base, codes), size))
    return Picture(colours.clamp(0, 1), alpha, torch.ones_like(alpha))


def pictures(tensor: Tensor) -> list[Image.Image]:
    """PIL images of ``Tensor[B, 3 or 4, S, S]`` in 0..1."""
    values = (tensor.float().clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return [Image.fromarray(value) for value in values]

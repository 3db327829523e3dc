"""A result in the photo that it came from."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from facesep.camera import rotation_matrix
from facesep.codes import Codes
from facesep.detail.compose import Picture
from facesep.detail.cutoff import cut_off, framed, wider
from facesep.detail.flow import blur, continued, resize, sample
from facesep.detail.source import Source
from facesep.faces.crop import Crop
from facesep.images import note_made, to_tensor

LARGEST_TURN = 15.0
"""Degrees by which a head may turn in its photo; beyond that its neck would have to be invented."""
APART = 0.03
"""How far from hair the colours behind it are taken, as a share of the crop's side."""
NECK = 0.1
"""How far from a face that is still allowed, between a neck and hair."""
MASKS = 256
"""Side at which masks are widened."""
STRIP = 512
"""Rows of a photo that are computed at once."""
SEAM = 0.012
"""Width of the seam around a head, as a share of the crop's side."""
RIM = 0.09
"""Width over which what goes on beyond the crop, such as long hair, becomes the photo's own again."""


def turn(codes: Codes, shown: Codes) -> float:
    """Largest angle in degrees between the heads of two batches of codes."""
    relative = rotation_matrix(codes.rotation.float()) @ rotation_matrix(shown.rotation.float()).mT
    cosine = ((relative.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2).clamp(-1, 1)
    return math.degrees(float(cosine.acos().max()))


def window(crop: Crop, photo: Image.Image) -> tuple[int, int, int, int]:
    """Pixels of the photo that the canonical window touches: left, top, right, bottom."""
    left, top = max(math.floor(crop.left), 0), max(math.floor(crop.top), 0)
    right = min(math.ceil(crop.left + crop.side), photo.width)
    bottom = min(math.ceil(crop.top + crop.side), photo.height)
    return left, top, right, bottom


def in_photo(canonical: Tensor, crop: Crop, box: tuple[int, int, int, int]) -> Tensor:
    """Resamples ``Tensor[1, C, S, S]`` at the centres of a photo's pixels: ``[1, C, height, width]``."""
    left, top, right, bottom = box
    x = (
        torch.arange(left, right, dtype=torch.float32, device=canonical.device) + 0.5 - crop.left
    ) / crop.side
    y = (torch.arange(top, bottom, dtype=torch.float32, device=canonical.device) + 0.5 - crop.top) / crop.side
    rows, columns = torch.meshgrid(y, x, indexing="ij")
    return sample(canonical, torch.stack((columns, rows))[None])


def paste(
    photo: Image.Image, crop: Crop, picture: Picture, source: Source, moved: bool, regrown: float = 0.0
) -> Image.Image:
    """Puts one result into its photo.

    Where nothing has moved, the change of each pixel is added to the photo, so that the photo keeps its own
    resolution. Otherwise the head is taken out, what was behind it is continued from beside it, and the
    result is laid over that. Pixels away from the head stay the photo's, bit for bit, also when the result is
    marked: what was made is noted in it.

    Args:
        photo: the whole photo.
        crop: where the head stands in it.
        picture: the result, a batch of one.
        source: the photo's head, a batch of one.
        moved: whether anything but colours has changed.
        regrown: how much of the photo's own hair is replaced, 0 to 1. What of it lies beyond the crop then
            goes, too.
    """
    size = picture.alpha.shape[-1]
    within = rim(crop, photo, size).to(picture.alpha)
    result, made = photo.copy(), Image.new("L", photo.size, 0)
    if moved:
        shown = to_tensor(crop.apply(photo, size))[None].to(picture.alpha)
        matte, hair, alpha = (
            resize(each, MASKS).clamp(0, 1) for each in (source.matte, source.hair, picture.alpha)
        )
        # Where the head has left. Elsewhere its soft edge, mixed with what is behind it, is the photo's own.
        gone = ((matte - alpha - 0.15) / 0.35).clamp(0, 1)
        beyond = cut_off(photo, crop, regrown * gone * hair, resize(within, MASKS))
        if beyond is not None:
            _lay(result, made, beyond, wider(crop), added=False)
        free = torch.maximum(_grown(gone, SEAM), _grown(gone * hair, APART))  # with single hairs beside it
        share = resize(torch.maximum(_grown(torch.maximum(matte, alpha), SEAM), free), size)
        free = resize(free, size)
        behind = torch.lerp(shown, _behind(shown, matte, hair, framed(crop, photo, MASKS)), free)
        layers = torch.cat((torch.lerp(behind, picture.colours, picture.alpha), share * within), 1)
    else:
        own = resize(source.colours, size, "bicubic").clamp(0, 1)
        mask = picture.alpha * within
        layers = torch.cat(((picture.colours - own) * mask, mask), 1)
    _lay(result, made, layers, crop, added=not moved)
    return note_made(result, made)


def _lay(photo: Image.Image, made: Image.Image, layers: Tensor, crop: Crop, added: bool) -> None:
    """Changes a photo within a window, and notes where.

    Args:
        photo: the photo.
        made: what was made of it so far.
        layers: ``Tensor[1, 4, S, S]`` of the window: colours, or what is added to those of the photo; mask.
        crop: the window.
        added: whether the colours are added.
    """
    left, top, right, bottom = window(crop, photo)
    for row in range(top, bottom, STRIP):  # large photos need no large tensors
        box = left, row, right, min(row + STRIP, bottom)
        before, noted = np.asarray(photo.crop(box), dtype=np.float32), np.asarray(made.crop(box))
        colours, mask = np.split(in_photo(layers, crop, box)[0].permute(1, 2, 0).cpu().numpy(), (3,), 2)
        after = before + (np.round(colours * 255) if added else mask * (colours * 255 - before))
        photo.paste(Image.fromarray(np.clip(np.round(after), 0, 255).astype(np.uint8)), box[:2])
        here = (mask[..., 0] * 255).clip(0, 255).astype(np.uint8)
        made.paste(Image.fromarray(np.maximum(noted, here)), box[:2])


def _grown(mask: Tensor, width: float) -> Tensor:
    """A mask widened by a share of the crop's side, with a soft edge that ends at twice that."""
    radius = round(width * MASKS)
    wide = F.max_pool2d(mask, 2 * radius + 1, 1, radius)
    soft = blur(wide, radius / 3)
    return ((soft - 0.02) / 0.96).clamp(0, 1)


def rim(crop: Crop, photo: Image.Image, size: int) -> Tensor:
    """1 inside the crop, falling to 0 at those of its borders that lie inside the photo.

    Returns:
        ``Tensor[1, 1, size, size]``.
    """
    at = (torch.arange(size) + 0.5) / size
    right, bottom = crop.left + crop.side < photo.width, crop.top + crop.side < photo.height
    sides = []
    for first, last in ((crop.top > 0, bottom), (crop.left > 0, right)):
        near = torch.minimum(at if first else torch.ones(size), 1 - at if last else torch.ones(size))
        share = (near / RIM).clamp(0, 1)
        sides.append(share * share * (3 - 2 * share))
    return (sides[0][:, None] * sides[1])[None, None]


def _behind(shown: Tensor, head: Tensor, hair: Tensor, known: Tensor) -> Tensor:
    """What stands behind the head, continued from what is seen beside it, and well away from its hair."""
    near, far, neck = (round(width * MASKS) for width in (SEAM, APART, NECK))

    def beside(mask: Tensor, radius: int) -> Tensor:
        return F.max_pool2d(mask, 2 * radius + 1, 1, radius)

    haze = (beside(hair, far) > 0.1) & (beside(head * (1 - hair), neck) < 0.5)  # beside a face stands a neck
    free = (beside(head, near) < 0.5) & ~haze
    free = free.to(shown.dtype) * known.to(shown)
    return resize(continued(resize(shown, MASKS), free), shown.shape[-1], "bicubic").clamp(0, 1)

"""What the watermark survives: share of results in which it is still found after a change.

Results are made as facesep writes them: a head on white, a transparent one, or a photo that keeps its
background and in which the head alone is marked.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from facesep import video, watermark
from facesep.animation import encode_animation
from facesep.evaluation.metrics import psnr, ssim
from facesep.images import encode_image, load_image, to_tensor

LABELS = ".label.png"
"""Label maps lie beside their photos under this ending; 1 and 2 are the head."""
MARGIN = 1.25
"""Side of a cut-out picture over the longer side of its head."""
VIDEO = "H.264 video, encoded again at CRF 30"
FRAMES = 24
_BICUBIC = Image.Resampling.BICUBIC


@dataclass(frozen=True)
class Result:
    """A result before it is marked.

    Attributes:
        image: RGB or RGBA.
        head: greyscale, what the model made.
        masked: whether the mark is put there alone, as in photos that keep their background.
        page: a picture of somebody else, on which the result is pasted.
    """

    image: Image.Image
    head: Image.Image
    masked: bool
    page: Image.Image

    def marked(self) -> Image.Image:
        """With the watermark, as readers see it: what is transparent is laid on white."""
        return load_image(watermark.embed(self.image, where=self.head if self.masked else None))


def head_mask(path: Path, size: tuple[int, int]) -> Image.Image:
    """Where the head is, from a label map beside the photo; an oval where there is none."""
    labels = path.with_name(path.stem + LABELS)
    if labels.is_file():
        classes = np.asarray(Image.open(labels))
        mask = Image.fromarray(((classes == 1) | (classes == 2)).astype(np.uint8) * 255)
    else:
        mask = Image.new("L", size, 0)
        width, height = size
        ImageDraw.Draw(mask).ellipse((0.2 * width, 0.1 * height, 0.8 * width, 0.9 * height), fill=255)
    return mask.filter(ImageFilter.GaussianBlur(1.5))


def head_side(path: Path, photo: Image.Image) -> float:
    """Side of the square that a cut-out picture shows, in pixels of the photo."""
    left, top, right, bottom = head_mask(path, photo.size).point(lambda value: 255 * (value > 127)).getbbox()
    return MARGIN * max(right - left, bottom - top)


def as_result(path: Path, form: str, size: int, page: Image.Image) -> Result:
    """A photo as a result of the model.

    Args:
        path: the photo.
        form: ``white``, ``transparent``, or ``photo`` for one that keeps its background.
        size: side in pixels; of photos the short one.
        page: a picture of somebody else.
    """
    photo = load_image(path)
    head = head_mask(path, photo.size)
    if form == "photo":
        factor = size / min(photo.size)
        shape = [round(side * factor) for side in photo.size]
        return Result(photo.resize(shape, Image.Resampling.LANCZOS), head.resize(shape), True, page)
    left, top, right, bottom = head.point(lambda value: 255 * (value > 127)).getbbox()
    side = MARGIN * max(right - left, bottom - top)
    corner = round((left + right - side) / 2), round((top + bottom - side) / 2)
    box = (*corner, corner[0] + round(side), corner[1] + round(side))
    head = head.crop(box).resize((size, size))
    image = photo.crop(box).resize((size, size), Image.Resampling.LANCZOS)
    if form == "transparent":
        image.putalpha(head)
    else:
        image = Image.composite(image, Image.new("RGB", image.size, "white"), head)
    return Result(image, head, False, page)


# -- changes ----------------------------------------------------------------------------------------

Change = Callable[[Image.Image, Result], Image.Image]


def saved(format: str, quality: int) -> Change:
    """Written as a file of some quality and read again."""
    return lambda image, _: load_image(encode_image(image, format, quality=quality))


def animated(format: str) -> Change:
    """Written as an animation of one frame and read again."""
    return lambda image, _: load_image(encode_animation([image], format, 10, quality=95))


def resized(factor: float) -> Change:
    """Made smaller or larger."""
    return lambda image, _: image.resize([round(side * factor) for side in image.size], _BICUBIC)


def lit(factor: float) -> Change:
    """Made darker or brighter."""
    return lambda image, _: Image.eval(image, lambda value: min(255, round(value * factor)))


def turned(degrees: float) -> Change:
    """Turned about its middle, white in the corners."""
    return lambda image, _: image.rotate(degrees, _BICUBIC, fillcolor="white")


def cut(part: float) -> Change:
    """A square cut out, a third of the way between the upper left corner and the lower right one."""

    def apply(image: Image.Image, _: Result) -> Image.Image:
        side = round(min(image.size) * part)
        left, top = ((whole - side) // 3 for whole in image.size)
        return image.crop((left, top, left + side, top + side))

    return apply


def to_the_head(image: Image.Image, result: Result) -> Image.Image:
    """Cut to the box of the head."""
    return image.crop(result.head.point(lambda value: 255 * (value > 127)).getbbox())


def pasted(size: tuple[int, int], share: float | None = None) -> Change:
    """Pasted into a photo of somebody else, at a place that depends on the picture.

    Args:
        size: of the photo.
        share: of the photo's height that the picture gets; None for its own size, or less where that does
            not fit.
    """

    def apply(image: Image.Image, result: Result) -> Image.Image:
        page = ImageOps.fit(result.page, size, _BICUBIC)
        fits = min(wide / side for wide, side in zip(size, image.size, strict=True))
        factor = min(1.0, 0.95 * fits) if share is None else min(share * size[1] / image.height, 0.95 * fits)
        image = resized(factor)(image, result)
        places = np.random.default_rng(np.asarray(image.resize((8, 8))).sum()).random(2)
        page.paste(
            image, [int(p * (wide - side)) for p, wide, side in zip(places, size, image.size, strict=True)]
        )
        return page

    return apply


def then(*changes: Change) -> Change:
    """One after the other."""

    def apply(image: Image.Image, result: Result) -> Image.Image:
        for change in changes:
            image = change(image, result)
        return image

    return apply


_JPEG = saved("jpeg", 75)
CHANGES: dict[str, Change] = {
    "none": lambda image, _: image,
    "JPEG 50": saved("jpeg", 50),
    "WebP 80": saved("webp", 80),
    "GIF": animated("gif"),
    "animated WebP": animated("webp"),
    "half size": then(resized(0.5), _JPEG),
    "double size": then(resized(2.0), _JPEG),
    "blur, radius 1": then(lambda image, _: image.filter(ImageFilter.GaussianBlur(1)), _JPEG),
    "brightness 1.15": then(lit(1.15), _JPEG),
    "brightness 0.7": then(lit(0.7), _JPEG),
    "mirrored": then(lambda image, _: ImageOps.mirror(image), _JPEG),
    "turned by 5 degrees": then(turned(5), _JPEG),
    "turned by -5 degrees": then(turned(-5), _JPEG),
    "cut to the head": then(to_the_head, _JPEG),
    "cut to 80 % of the side": then(cut(0.8), _JPEG),
    "cut to 60 % of the side": then(cut(0.6), _JPEG),
    "in a photo of 800 x 600": then(pasted((800, 600)), _JPEG),
    "in a photo of 1600 x 1200": then(pasted((1600, 1200)), _JPEG),
    "there at 40 % of its height": then(pasted((1600, 1200), 0.4), _JPEG),
    "there mirrored, turned, at 60 %, JPEG 50": then(
        lambda image, _: ImageOps.mirror(image), turned(3), pasted((1600, 1200), 0.6), saved("jpeg", 50)
    ),
}
"""Changes by name. Where nothing else is said, the result is saved as JPEG of quality 75."""


@dataclass(frozen=True)
class Survival:
    """What was measured on results of one form and size.

    Attributes:
        count: results.
        found: for each change the share of results in which the mark is found.
        psnr: lowest and median PSNR in dB, over what may be marked: where it is not white, or the head.
        ssim: lowest and median SSIM there.
    """

    count: int
    found: dict[str, float]
    psnr: tuple[float, float]
    ssim: tuple[float, float]


def survival(
    results: Sequence[Result],
    on_result: Callable[[int], object] | None = None,
    names: Sequence[str] | None = None,
) -> Survival:
    """Marks results and looks for the mark after each change.

    Args:
        results: what is marked.
        on_result: called with the number of results done.
        names: changes of ``CHANGES`` and ``VIDEO``; None for all.
    """
    found = dict.fromkeys((*CHANGES, VIDEO) if names is None else names, 0)
    fidelity = []
    for done, result in enumerate(results, 1):
        marked = result.marked()
        fidelity.append(_fidelity(result, marked))
        for name in found:
            seen = _filmed(result) if name == VIDEO else CHANGES[name](marked, result)
            found[name] += watermark.detect(seen) is not None
        if on_result is not None:
            on_result(done)
    low, middle = np.min(fidelity, 0), np.median(fidelity, 0)
    return Survival(
        len(results),
        {name: count / len(results) for name, count in found.items()},
        (float(low[0]), float(middle[0])),
        (float(low[1]), float(middle[1])),
    )


def _fidelity(result: Result, marked: Image.Image) -> tuple[float, float]:
    """PSNR and SSIM over the head."""
    before, after = to_tensor(load_image(result.image))[None], to_tensor(marked)[None]
    head = (torch.from_numpy(np.array(result.head)) > 127)[None, None]
    both = (picture[head.expand_as(picture)].view(1, 1, 1, -1) for picture in (before, after))
    return float(psnr(*both)), float(ssim(before, after, head.float()))


def _filmed(result: Result) -> list[Image.Image]:
    """The frames that ``facesep verify`` looks at in a video in which a result turns, encoded twice."""
    shape = [side - side % 2 for side in result.image.size]

    def frame(number: int) -> Image.Image:
        image, head = load_image(result.image), result.head
        turn = {"angle": number / 4, "resample": _BICUBIC}
        image, head = image.rotate(**turn, fillcolor="white"), head.rotate(**turn)
        box = (0, 0, *shape)
        return replace(result, image=image.crop(box), head=head.crop(box)).marked()

    with tempfile.TemporaryDirectory() as folder:
        first, second = Path(folder) / "first.mp4", Path(folder) / "second.mp4"
        video.write_video(map(frame, range(FRAMES)), first, 24)
        video.write_video(video.read_frames(first), second, 24, crf=30)
        return [Image.fromarray(each) for each in video.read_frames(second)][::3]

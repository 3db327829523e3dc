"""The Finish network: what a photo does not show, drawn from what it shows beside it."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SURE, UNSURE = 0.9, 0.5
"""Confidence from which a pixel is the photo's and stays, and below which it is the network's alone."""
CELL = 4
"""Pixels along a side of the finest cells that the network computes with."""
STRIDE = 32
"""Pixels along a side of its coarsest cells: images are padded to multiples of this."""
WIDTHS = (32, 64, 96, 128)
"""Channels at a 4th, an 8th, a 16th and a 32nd of the image's size."""
INPUTS = 13
"""Channels of the pixels of a draft."""


class Draft(NamedTuple):
    """A head as photo detail composes it, and what else is known about it.

    Attributes:
        colours: ``Tensor[B, 3, S, S]`` in 0..1, the photo where it shows the head, the render elsewhere.
        confidence: ``Tensor[B, 1, S, S]`` in 0..1: 1 is the photo, 0 the render.
        alpha: ``Tensor[B, 1, S, S]`` in 0..1, the head's matte.
        hair: ``Tensor[B, 1, S, S]`` in 0..1.
        render: ``Tensor[B, 3, S, S]`` in 0..1, the model's render in the photo's tone.
        mirrored: ``Tensor[B, 3, S, S]`` in 0..1, what the photo shows of the other half of the head.
        known: ``Tensor[B, 1, S, S]`` in 0..1, how well it shows that.
        points: ``Tensor[B, 3, n, n]``, places on the head in decimetres, in its frame.
    """

    colours: Tensor
    confidence: Tensor
    alpha: Tensor
    hair: Tensor
    render: Tensor
    mirrored: Tensor
    known: Tensor
    points: Tensor


def share(confidence: Tensor) -> Tensor:
    """How much of a pixel is the network's: 0 from a confidence of ``SURE`` on, 1 below ``UNSURE``."""
    return ((SURE - confidence) / (SURE - UNSURE)).clamp(0, 1)


class Block(nn.Module):
    """Two 3x3 convolutions around a shortcut; without norms, and the identity at first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x: Tensor) -> Tensor:
        """``Tensor[B, C, H, W]`` to the same shape."""
        return x + self.second(F.relu(self.first(F.relu(x))))


class Finish(nn.Module):
    """A U-shaped network over cells of 4 x 4 pixels.

    1.5 million weights, 2.7 billion multiplications at 512 px.

    ``y = x + w (a k (m - x) + c)``: it changes a draft ``x`` by ``c``, and takes a share ``a`` of the
    mirrored head ``m`` where that is known (``k``). ``w`` is 0 where the photo is sure (``share``):
    no pixel of the photo changes. Fully convolutional, and without noise, so that videos do not flicker.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(INPUTS, WIDTHS[0], CELL, CELL)
        self.place = nn.Conv2d(3, WIDTHS[0], 1, bias=False)
        counts = (2, 1, 2, 2)
        self.down = nn.ModuleList(
            nn.Conv2d(a, b, 3, 2, 1) for a, b in zip(WIDTHS[:-1], WIDTHS[1:], strict=True)
        )
        self.before = nn.ModuleList(
            nn.Sequential(*(Block(width) for _ in range(count)))
            for width, count in zip(WIDTHS, counts, strict=True)
        )
        self.up = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in zip(WIDTHS[:-1], WIDTHS[1:], strict=True))
        self.after = nn.ModuleList(Block(width) for width in WIDTHS[:-1])
        self.last = nn.Conv2d(WIDTHS[0], 4 * CELL**2, 3, padding=1)
        nn.init.zeros_(self.last.weight)  # training starts at the draft, with a little of the mirrored head
        nn.init.zeros_(self.last.bias)

    def forward(self, draft: Draft) -> Tensor:
        """Finishes a draft.

        Returns:
            ``Tensor[B, 3, S, S]`` in 0..1; the draft's own colours where its confidence is above ``SURE``.
        """
        change, mirrored = self.proposal(draft).split((3, 1), 1)
        chosen = mirrored.sigmoid() * draft.known * (draft.mirrored - draft.colours)
        return (draft.colours + share(draft.confidence) * (chosen + change)).clamp(0, 1)

    def proposal(self, draft: Draft) -> Tensor:
        """The change of colours and the logit of the mirrored head's share, ``Tensor[B, 4, S, S]``."""
        size = draft.colours.shape[-1]
        images = torch.cat(
            [draft.colours, draft.render, draft.mirrored, draft.confidence]
            + [draft.alpha, draft.hair, draft.known],
            1,
        )
        side = -(-size // STRIDE) * STRIDE
        if side > size:
            images = F.pad(images, (0, side - size) * 2, mode="replicate")
        cells = side // CELL
        points = F.interpolate(draft.points, size=(cells, cells), mode="bilinear", align_corners=False)
        dtype = self.stem.weight.dtype
        x = self.stem(images.to(dtype)) + self.place(points.to(dtype))
        kept = []
        for level, blocks in enumerate(self.before):
            if level:
                kept.append(x)
                x = self.down[level - 1](F.relu(x))
            x = blocks(x)
        for up, block, fine in reversed(list(zip(self.up, self.after, kept, strict=True))):
            x = block(fine + F.interpolate(up(x), scale_factor=2.0, mode="bilinear", align_corners=False))
        return F.pixel_shuffle(self.last(F.relu(x)), CELL)[..., :size, :size].float()

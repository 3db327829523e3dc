"""The 2D renderer for inference on a CPU: the same numbers, computed in strips that stay in the cache.

Most of the plain renderer's time goes into moving feature maps through memory, not into arithmetic. Here a
level is computed a few rows at a time, pixel by pixel in memory, so that what one operation leaves behind is
still in the cache when the next one reads it. Four exact rearrangements make it fewer operations:

- the pixel shuffle is an order of the second layer's rows: ``[sub-pixel, channel]``;
- the tiled skip goes through the last 1x1 convolution, so it is a matrix of its own from the level's input;
- the blur is the sum of two neighbours, twice along each axis; its 1/16 is part of the last convolution;
- RGB is enlarged by one filter of three taps for even and one for odd pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from facesep.nets.upsampler import Level, Upsampler

POINTS = 4096
"""Points of a level's input in one strip: their activations fit in the last cache."""


def render_strips(upsampler: Upsampler, features: Tensor, levels: int | None = None) -> Tensor:
    """What ``Upsampler.layers`` returns, without gradients.

    Args:
        upsampler: the weights.
        features: ``Tensor[B, features, n, n]``.
        levels: levels to run, all by default.

    Returns:
        ``Tensor[B, 3, S, S]``, before the sigmoid, at least in float32: with products so small, fewer bits
        would take longer.
    """
    features = features.to(torch.promote_types(features.dtype, torch.float32))
    return torch.stack([_render(upsampler, one, levels) for one in features])


def _render(upsampler: Upsampler, features: Tensor, levels: int | None) -> Tensor:
    """One image: ``Tensor[C, n, n]`` to ``Tensor[3, S, S]``."""
    x = features.permute(1, 2, 0).contiguous()
    rgb = F.linear(x, *_matrix(upsampler.to_rgb[0]))
    chosen = upsampler.levels[:levels]
    for index, level in enumerate(chosen):
        last = index + 1 == len(chosen)
        weight, bias = _matrix(upsampler.to_rgb[index + 1])
        rgb = enlarge_rows(enlarge_rows(rgb, 0), 1).add_(bias)
        size = 2 * len(x)
        result = None if last else x.new_empty(size, size, level.out.out_channels)
        for top, rows in level_strips(level, x):
            part = slice(top, top + len(rows))
            rgb[part].view(-1, 3).addmm_(rows.view(-1, rows.shape[-1]), weight.t())
            if result is not None:
                result[part] = rows
        x = result if result is not None else x
    return rgb.permute(2, 0, 1).contiguous()


def level_strips(level: Level, x: Tensor) -> Iterator[tuple[int, Tensor]]:
    """One level, strip by strip.

    Args:
        level: its weights.
        x: ``Tensor[n, n, C]``.

    Yields:
        ``(top, rows)``: the number of the first row and ``Tensor[rows, 2 n, C']``, from top to bottom.
        The tensor is used again for the next strip.
    """
    size, channels = len(x), x.shape[-1]
    first, first_bias = _matrix(level.layer_1)
    second, second_bias = _matrix(level.layer_2)
    order = torch.arange(4 * channels, device=x.device).view(channels, 4).t().flatten()
    second, second_bias = second[order], second_bias[order]
    out, out_bias = _matrix(level.out)
    out = out.t() / 16
    skip = _skip(out, order % channels)
    out_bias = (out_bias / 16).repeat(4)
    width = out.shape[1]
    step = max(POINTS // size, 1)
    # Two rows above the strip's own, and a column of the mirrored border on each side.
    held = x.new_empty(2 * step + 3, 2 * size + 2, width)
    sums = [x.new_empty(2 * step + 1 - i, 2 * size + 2, width) for i in (-1, 0)]
    across = x.new_empty(2 * step + 1, 2 * size + 1, width)
    done = x.new_empty(2 * step + 1, 2 * size, width)
    for top in range(0, size, step):
        points = x[top : top + step].view(-1, channels)
        hidden = F.leaky_relu_(torch.addmm(first_bias, points, first.t()), 0.2)
        hidden = F.leaky_relu_(torch.addmm(second_bias, hidden, second.t()), 0.2)
        shuffled = torch.addmm(out_bias, points, skip)
        shuffled.view(-1, width).addmm_(hidden.view(-1, channels), out)
        count = len(points) // size
        end = 2 + 2 * count
        new = held[2:end]
        new[:, 1:-1].view(count, 2, size, 2, width).copy_(
            shuffled.view(count, size, 2, 2, width).transpose(1, 2)
        )
        new[:, 0], new[:, -1] = new[:, 2], new[:, -3]
        start = 0
        if top == 0:
            held[1], start = held[3], 1
        bottom = top + count == size
        if bottom:
            held[end] = held[end - 2]
        rows = held[start : end + bottom]
        once = torch.add(rows[:-1], rows[1:], out=sums[0][: len(rows) - 1])
        twice = torch.add(once[:-1], once[1:], out=sums[1][: len(rows) - 2])
        wide = torch.add(twice[:, :-1], twice[:, 1:], out=across[: len(twice)])
        result = torch.add(wide[:, :-1], wide[:, 1:], out=done[: len(twice)])
        yield max(2 * top - 1, 0), F.leaky_relu_(result, 0.2)
        held[:2] = held[end - 2 : end].clone()


def enlarge_rows(x: Tensor, dim: int) -> Tensor:
    """Bilinear x2 and the [1, 2, 1] / 4 blur along one dimension of ``Tensor[n, m, 3]`` (dim 0 or 1).

    Away from the border both together are the taps (5, 10, 1) / 16 for even and (1, 10, 5) / 16 for odd
    results. At the border the enlarging repeats pixels and the blur mirrors them: (14, 2) / 16.
    """
    size = x.shape[dim]
    padded = torch.cat((x.narrow(dim, 0, 1), x, x.narrow(dim, size - 1, 1)), dim)
    before, here, after = (padded.narrow(dim, start, size) for start in range(3))
    middle = here * 0.625
    even = torch.add(middle, before, alpha=0.3125).add_(after, alpha=0.0625)
    odd = middle.add_(before, alpha=0.0625).add_(after, alpha=0.3125)
    for half, edge in ((even, 0), (odd, size - 1)):
        near = x.select(dim, abs(edge - 1) if size > 1 else 0)
        half.select(dim, edge).copy_(x.select(dim, edge) * 0.875 + near * 0.125)
    return torch.stack((even, odd), dim + 1).flatten(dim, dim + 1)


def _matrix(layer: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Weight ``Tensor[out, in]`` and bias of a 1x1 convolution, at least in float32."""
    dtype = torch.promote_types(layer.weight.dtype, torch.float32)
    return layer.weight[..., 0, 0].to(dtype), layer.bias.to(dtype)


def _skip(out: Tensor, source: Tensor) -> Tensor:
    """The level's input straight to the four sub-pixels' outputs.

    Args:
        out: ``Tensor[C, C']``, the last layer.
        source: ``Tensor[4 C]``, the input channel that is added to hidden channel ``[sub-pixel, channel]``.

    Returns:
        ``Tensor[C, 4 C']``.
    """
    channels, width = out.shape
    result = out.new_zeros(4, channels, width)
    for part, index in zip(result, source.view(4, channels), strict=True):
        part.index_add_(0, index, out)
    return result.transpose(0, 1).reshape(channels, 4 * width)

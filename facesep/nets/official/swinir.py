"""The SwinIR restorer: it proposes the clean image from which DifFace's diffusion starts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

RGB_MEAN = (0.4488, 0.4371, 0.4040)


def relative_positions(window: int) -> Tensor:
    """For each pair of pixels in a window, the row of the table that holds their bias.

    Returns:
        ``Tensor[window ** 2, window ** 2]``, integers below ``(2 window - 1) ** 2``.
    """
    line = torch.arange(window)
    y, x = (part.flatten() for part in torch.meshgrid(line, line, indexing="ij"))
    dy = y[:, None] - y[None] + window - 1
    dx = x[:, None] - x[None] + window - 1
    return dy * (2 * window - 1) + dx


def to_windows(x: Tensor, window: int) -> Tensor:
    """``Tensor[B, H, W, C]`` to ``Tensor[B * windows, window ** 2, C]``."""
    batch, height, width, channels = x.shape
    x = x.view(batch, height // window, window, width // window, window, channels)
    return x.transpose(2, 3).reshape(-1, window * window, channels)


def from_windows(x: Tensor, window: int, height: int, width: int) -> Tensor:
    """The inverse of ``to_windows``."""
    x = x.view(-1, height // window, width // window, window, window, x.shape[-1])
    return x.transpose(2, 3).reshape(-1, height, width, x.shape[-1])


def shift_mask(height: int, width: int, window: int, shift: int) -> Tensor:
    """Keeps pixels apart that only the cyclic shift made neighbours.

    Returns:
        ``Tensor[windows, window ** 2, window ** 2]``: 0 within a region, -100 between regions.
    """
    zones = []
    for size in (height, width):
        zone = torch.zeros(size)
        zone[size - window : size - shift] = 1
        zone[size - shift :] = 2
        zones.append(zone)
    regions = zones[0][:, None] * 3 + zones[1]
    regions = to_windows(regions[None, :, :, None], window)[..., 0]
    return (regions[:, None] != regions[:, :, None]).float() * -100.0


class Attention(nn.Module):
    """Self-attention inside windows with a learned bias for every relative position."""

    def __init__(self, channels: int, window: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        self.register_buffer("positions", relative_positions(window), persistent=False)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Maps ``Tensor[windows, n, C]`` to the same shape; ``mask`` is added to the scores."""
        count, n, channels = x.shape
        q, k, v = self.qkv(x).view(count, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        bias = self.relative_position_bias_table[self.positions].permute(2, 0, 1)[None]
        if mask is not None:
            bias = bias + mask[:, None].to(bias)
            bias = bias.repeat(count // len(mask), 1, 1, 1)
        x = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.proj(x.transpose(1, 2).reshape(count, n, channels))


class MLP(nn.Module):
    """Two linear layers with GELU between."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden)
        self.fc2 = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``Tensor[..., C]`` to the same shape."""
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """A Swin transformer block; every other one shifts its windows by half of their size."""

    def __init__(self, channels: int, window: int, heads: int, ratio: int, shifted: bool) -> None:
        super().__init__()
        self.window, self.shift = window, window // 2 if shifted else 0
        self.norm1 = nn.LayerNorm(channels)
        self.attn = Attention(channels, window, heads)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = MLP(channels, channels * ratio)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Maps ``Tensor[B, H, W, C]`` to the same shape."""
        height, width = x.shape[1:3]
        y = self.norm1(x)
        if self.shift:
            y = y.roll((-self.shift, -self.shift), (1, 2))
        y = self.attn(to_windows(y, self.window), mask if self.shift else None)
        y = from_windows(y, self.window, height, width)
        if self.shift:
            y = y.roll((self.shift, self.shift), (1, 2))
        x = x + y
        return x + self.mlp(self.norm2(x))


class _Blocks(nn.Module):
    """Holds the blocks of a group under the key ``blocks``."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)


class Group(nn.Module):
    """Transformer blocks, a 3x3 convolution, and a shortcut over both."""

    def __init__(self, channels: int, depth: int, window: int, heads: int, ratio: int) -> None:
        super().__init__()
        self.residual_group = _Blocks(
            [Block(channels, window, heads, ratio, bool(i % 2)) for i in range(depth)]
        )
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Maps ``Tensor[B, H, W, C]`` to the same shape."""
        y = x
        for block in self.residual_group.blocks:
            y = block(y, mask)
        return x + self.conv(y.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class _Embedding(nn.Module):
    """Holds the first norm under the key ``patch_embed.norm``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)


class SwinIR(nn.Module):
    """SwinIR as DifFace configures it: the work is done at an eighth of the image's size.

    Args:
        channels: width of the transformer.
        depths: blocks in each group.
        heads: attention heads.
        window: side of the attention windows, in units of 8 pixels.
        ratio: hidden width of the MLPs as a multiple of ``channels``.
    """

    scale = 8

    def __init__(
        self,
        channels: int = 180,
        depths: Sequence[int] = (6,) * 8,
        heads: int = 6,
        window: int = 8,
        ratio: int = 2,
    ) -> None:
        super().__init__()
        self.window = window
        self.conv_first = nn.Sequential(
            nn.PixelUnshuffle(self.scale), nn.Conv2d(3 * self.scale**2, channels, 3, padding=1)
        )
        self.patch_embed = _Embedding(channels)
        self.layers = nn.ModuleList(Group(channels, d, window, heads, ratio) for d in depths)
        self.norm = nn.LayerNorm(channels)
        self.conv_after_body = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv_before_upsample = nn.Sequential(nn.Conv2d(channels, 64, 3, padding=1), nn.LeakyReLU())
        self.conv_up1, self.conv_up2, self.conv_up3, self.conv_hr = (
            nn.Conv2d(64, 64, 3, padding=1) for _ in range(4)
        )
        self.conv_last = nn.Conv2d(64, 3, 3, padding=1)
        self.register_buffer("mean", torch.tensor(RGB_MEAN)[:, None, None], persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Restores images.

        Args:
            image: RGB ``Tensor[B, 3, H, W]`` in [0, 1]; sides that are not multiples of 64 are extended
                by reflection and cut back.

        Returns:
            ``Tensor[B, 3, H, W]``, about [0, 1] (not clamped).
        """
        height, width = image.shape[-2:]
        unit = self.window * self.scale
        padding = (0, -width % unit, 0, -height % unit)
        x = F.pad(image - self.mean, padding, mode="reflect") if any(padding) else image - self.mean
        first = self.conv_first(x)
        mask = shift_mask(*first.shape[-2:], self.window, self.window // 2).to(first)
        y = self.patch_embed.norm(first.permute(0, 2, 3, 1))
        for layer in self.layers:
            y = layer(y, mask)
        x = first + self.conv_after_body(self.norm(y).permute(0, 3, 1, 2))
        x = self.conv_before_upsample(x)
        for conv in (self.conv_up1, self.conv_up2, self.conv_up3):
            x = F.leaky_relu(conv(F.interpolate(x, scale_factor=2)), 0.2)
        x = self.conv_last(F.leaky_relu(self.conv_hr(x), 0.2))
        return (x + self.mean)[..., :height, :width]

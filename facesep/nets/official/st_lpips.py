"""The VGG16 trunk and distance of ST-LPIPS, for machines that hold its file but not VGG19's.

The weights (BSD-2, in the wheel of ``stlpips-pytorch``) are not part of facesep: give a path. Values of
``StLpips`` are ST-LPIPS, not LPIPS, and must be named so.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from facesep.errors import CheckpointError

SLICES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
POSITIONS = ((0, 2), (6, 8), (12, 14, 16), (20, 22, 24), (28, 30, 32))


class StLpips(nn.Module):
    """Five slices of an anti-aliased VGG16 and the linear weights of ST-LPIPS (Ghildyal and Liu, 2022)."""

    def __init__(self, slices: int = 5) -> None:
        super().__init__()
        self.net = nn.ModuleDict()
        channels = 3
        for index, widths in enumerate(SLICES[:slices]):
            part = nn.ModuleDict()
            for position, width in zip(POSITIONS[index], widths, strict=True):
                part[str(position)] = nn.Conv2d(channels, width, 3, padding=1)
                channels = width
            self.net[f"slice{index + 1}"] = part
        self.linear = nn.ParameterList(torch.zeros(1, w[-1], 1, 1) for w in SLICES[:slices])
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188])[None, :, None, None])
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450])[None, :, None, None])
        kernel = torch.tensor([1.0, 2.0, 1.0]) / 4
        self.register_buffer("kernel", torch.outer(kernel, kernel)[None, None], persistent=False)

    @staticmethod
    def from_file(path: str | Path, slices: int = 5) -> StLpips:
        """Loads the first slices from a ``.safetensors`` copy of the wheel's VGG file.

        Raises:
            CheckpointError: if the file does not hold these layers.
        """
        net = StLpips(slices)
        try:
            source = load_file(str(path))
            state = {
                key: source[key.replace("linear.", "lin") + ".model.1.weight"]
                if key.startswith("linear.")
                else source[key if key.startswith("net.") else f"scaling_layer.{key}"]
                for key in net.state_dict()
            }
            net.load_state_dict(state)
        except (OSError, KeyError, RuntimeError) as error:
            raise CheckpointError(f"{path} does not hold the VGG trunk of ST-LPIPS: {error}") from error
        return net.eval().requires_grad_(False)

    def taps(self, image: Tensor) -> list[Tensor]:
        """Features after each slice for RGB ``Tensor[B, 3, S, S]`` in 0..1."""
        x = (image * 2 - 1 - self.shift) / self.scale
        features = []
        for part in self.net.values():
            if features:  # max pool at stride 1, then blur and take every second: shift tolerant
                x = F.max_pool2d(x, 2, stride=1)
                x = F.pad(x, (1, 1, 1, 1), mode="reflect")
                kernel = self.kernel.to(x.dtype).expand(x.shape[1], 1, 3, 3)
                x = F.conv2d(x, kernel, stride=2, groups=x.shape[1])
            for layer in part.values():
                x = F.relu(layer(x), inplace=True)
            features.append(x)
        return features

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """ST-LPIPS distance of two batches in 0..1: ``Tensor[B]``."""
        total = a.new_zeros(len(a))
        for linear, x, y in zip(self.linear, self.taps(a), self.taps(b), strict=True):
            difference = (F.normalize(x, dim=1, eps=1e-10) - F.normalize(y, dim=1, eps=1e-10)).square()
            total = total + (difference * linear).sum(1).mean((1, 2))
        return total

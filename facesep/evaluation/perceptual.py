"""Perceptual distances by name: LPIPS with a chosen trunk, and ST-LPIPS, which is another measure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from facesep.errors import ConfigError

TRUNKS = ("alex", "vgg", "squeeze")


@dataclass(frozen=True)
class Perceptual:
    """A distance of two batches.

    Attributes:
        column: heading in tables.
        about: what exactly it is.
        distance: two ``Tensor[B, 3, S, S]`` in 0..1 to ``Tensor[B]``.
    """

    column: str
    about: str
    distance: Callable[[Tensor, Tensor], Tensor]


def lpips_distance(trunk: str = "alex", weights: str | Path | None = None, device: str = "cpu") -> Perceptual:
    """LPIPS of the lpips package, version 0.1 (Zhang et al., 2018).

    Args:
        trunk: ``alex``, ``vgg`` or ``squeeze``.
        weights: torchvision's weight file of that trunk, where it cannot be downloaded.
        device: where it computes.

    Raises:
        ConfigError: if the package or the trunk's weights cannot be had. Nothing takes their place.
        CheckpointError: if the file does not hold the trunk.
    """
    if trunk not in TRUNKS:
        raise ConfigError(f"unknown LPIPS trunk {trunk!r}: choose from {', '.join(TRUNKS)}")
    try:
        import lpips
    except ImportError as error:
        raise ConfigError("LPIPS needs the package lpips: pip install 'facesep[eval]'") from error
    try:
        net = lpips.LPIPS(net=trunk, pnet_rand=weights is not None, verbose=False)
    except OSError as error:
        raise ConfigError(
            f"the {trunk} trunk of LPIPS cannot be downloaded ({error}): give torchvision's file with "
            "--lpips-weights, or leave LPIPS out with --lpips none (--st-lpips measures something similar)"
        ) from error
    origin = "torchvision's weights"
    if weights is not None:
        _load_trunk(net.net, weights, trunk)
        origin = f"weights from {Path(weights).name}"
    net = net.eval().requires_grad_(False).to(device)

    @torch.no_grad()
    def distance(a: Tensor, b: Tensor) -> Tensor:
        return net(a.to(device), b.to(device), normalize=True).flatten().cpu()

    return Perceptual("LPIPS", f"LPIPS 0.1 with the {trunk} trunk ({origin})", distance)


def st_lpips_distance(path: str | Path, device: str = "cpu") -> Perceptual:
    """ST-LPIPS (Ghildyal and Liu, 2022) from a file; not comparable with LPIPS.

    Raises:
        CheckpointError: if the file does not hold it.
    """
    from facesep.nets.official.st_lpips import StLpips

    net = StLpips.from_file(path).to(device)

    @torch.no_grad()
    def distance(a: Tensor, b: Tensor) -> Tensor:
        return net(a.to(device), b.to(device)).cpu()

    return Perceptual("ST-LPIPS", "ST-LPIPS with its VGG16 trunk, which is not LPIPS", distance)


def _load_trunk(trunk: torch.nn.Module, path: str | Path, name: str) -> None:
    """Puts the convolutions of torchvision's file (``features.N``) into lpips's slices (``sliceK.N``)."""
    from facesep.importers.files import checked, read, tensors

    state = tensors(read(path), "state_dict")
    table = trunk.state_dict()
    chosen = {key: state[wanted] for key in table if (wanted := f"features.{key.split('.', 1)[1]}") in state}
    trunk.load_state_dict(checked(path, chosen, table, f"torchvision's {name} network"))

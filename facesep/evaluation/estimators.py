"""What a picture shows, as numbers: shape, expression, texture, light and pose, from several sources."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from facesep.attributes import ATTRIBUTES
from facesep.codes import Codes
from facesep.errors import CheckpointError
from facesep.model import FaceSep
from facesep.nets.crops import deep3d_crop
from facesep.nets.files import read_network
from facesep.nets.official.rnet import RNet, split_coefficients

PARTS = tuple(name for name in ATTRIBUTES if name != "hair")
"""What an estimator gives."""
POSES = ("rotation", "rotation+translation")
"""What may be compared as the pose."""
BATCH = 16

Estimates = dict[str, np.ndarray]
"""``[N, n]`` for each of ``PARTS``; rows of NaN where the picture shows no face that could be read."""


class Estimator(Protocol):
    """Reads attributes off canonical pictures.

    Attributes:
        name: what it is, for the tables.
    """

    name: str

    def estimate(self, images: Tensor) -> Estimates:
        """Attributes of ``Tensor[N, 3, S, S]`` in 0..1."""


class Deep3D:
    """The R-Net of Deep3DFaceRecon, the paper's estimator, from imported weights.

    Args:
        path: what ``train/import_weights.py deep3d`` wrote.
        device: where it computes.

    Raises:
        CheckpointError: if the file holds something else.
    """

    def __init__(self, path: str | Path, device: str = "cpu") -> None:
        self.name = f"Deep3DFaceRecon R-Net ({Path(path).name})"
        self.device = device
        self.net = RNet()
        try:
            self.net.load_state_dict(read_network(path, "rnet")[1])
        except RuntimeError as error:
            raise CheckpointError(f"{path} is not the seven-headed R-Net: {error}") from error
        self.net.eval().requires_grad_(False).to(device)

    @torch.no_grad()
    def estimate(self, images: Tensor) -> Estimates:
        """The seven coefficients; the crop is the same fixed window in photos and renders."""
        crops = (deep3d_crop(part.to(self.device)) for part in images.split(BATCH))
        found = split_coefficients(torch.cat([self.net(crop).float().cpu() for crop in crops]))
        return {
            "shape": found["identity"].numpy(),
            "expression": found["expression"].numpy(),
            "texture": found["texture"].numpy(),
            "illumination": found["illumination"].numpy(),  # gamma as it is, without the ambient 0.8
            "rotation": found["rotation"].numpy(),
            "translation": torch.cat((found["shift"], found["depth"]), 1).numpy(),
        }


class CheckpointEncoder:
    """The encoder of a facesep checkpoint.

    Training brings the encoder's codes of a render near the codes that it was rendered from, so a model
    that is measured with its own encoder looks better than it is.

    Args:
        checkpoint: folder, Hub repository, or ``bundled``.
        device: where it computes.
    """

    def __init__(self, checkpoint: str, device: str = "cpu") -> None:
        self.sep = FaceSep.from_pretrained(None if checkpoint == "bundled" else checkpoint).to(device)
        shown = checkpoint.rstrip("/").rpartition("/")[2]
        self.name = f"encoder of the facesep checkpoint {shown} (flatters a model trained with it)"

    @torch.no_grad()
    def estimate(self, images: Tensor) -> Estimates:
        """The codes, hair left out."""
        size = self.sep.image_size
        if images.shape[-1] != size:
            images = F.interpolate(images, (size, size), mode="bilinear", antialias=True).clamp(0, 1)
        codes = Codes.stack([self.sep.encoder(part.to(self.sep.device)) for part in images.split(BATCH)])
        return {name: getattr(codes, name).float().cpu().numpy() for name in PARTS}


def factors(found: Estimates, pose: str = "rotation") -> Estimates:
    """The paper's five attributes: rotation, with or without translation, becomes the pose."""
    parts = [found[name] for name in pose.split("+")]
    kept = {name: found[name] for name in ("shape", "expression", "texture", "illumination")}
    return {**kept, "pose": np.concatenate(parts, 1)}


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine of each row of ``[N, n]`` with the same row of another: ``[N]``; NaN for a zero row."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    length = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (a * b).sum(1) / length

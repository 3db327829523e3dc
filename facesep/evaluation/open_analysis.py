"""The open analysis of training as an estimator: landmarks, a face model, spherical harmonics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from facesep.analysis import fit as fitting
from facesep.analysis.analyse import IDLE
from facesep.analysis.components import Components, Standard
from facesep.analysis.labels import Labels
from facesep.analysis.landmarks import MEDIAPIPE_68, landmark_sigma
from facesep.analysis.lighting import BANDS, fit_light, sh_basis, shading
from facesep.analysis.morphable import FACE, MorphableModel
from facesep.analysis.texture import LIGHT_SHARE, Samples, light_level, sample_colours, scaled_light
from facesep.errors import DataError
from facesep.evaluation.estimators import PARTS, Estimates
from facesep.evaluation.mouth import ExternalTool
from facesep.images import to_image

TOOL_SIZE = 512
"""Side of the pictures that the landmark tool sees, and so the unit of its points."""
ROUNDS = 3
"""How often light and albedo take turns."""


@dataclass(frozen=True, eq=False)
class OpenAnalysis:
    """Fits the face model of train/analyse.py to landmarks and splits skin colours into light and albedo.

    Means, deviations and components are those of the label file, so the numbers are in its units. A photo
    and a render are treated alike, one by one; no label map is needed, because light is fitted robustly.

    Attributes:
        model: the face model in the head frame.
        labels: the label file.
        tool: finds 478 landmarks.
    """

    model: MorphableModel
    labels: Labels
    tool: ExternalTool

    @staticmethod
    def load(morphable: str | Path, labels: str | Path, landmarks: str) -> OpenAnalysis:
        """Reads the files.

        Raises:
            DataError: if one is missing or the two do not belong together.
        """
        model, found = MorphableModel.load(morphable), Labels.load(labels)
        if found.names != model.expression_names:
            raise DataError(f"{labels} was made with another face model than {morphable}")
        return OpenAnalysis(model, found, ExternalTool(landmarks))

    @property
    def name(self) -> str:
        """For the tables."""
        return f"open analysis (ICT face model fitted to landmarks by {self.tool.name})"

    @torch.no_grad()
    def estimate(self, images: Tensor) -> Estimates:
        """Standardised identity and expression weights, albedo components, light, angles, shift."""
        images = images.cpu()
        seen, landmarks = self._landmarks(images)
        decode = self.labels.decode
        means = (decode["identity.mean"], decode["expression.mean"], decode["texture.std"])
        sizes = (*(len(one) for one in means), 3 * BANDS, 3, 3)
        result = {name: np.full((len(images), n), np.nan) for name, n in zip(PARTS, sizes, strict=True)}
        if seen:
            for name, values in self._read(images[seen], landmarks).items():
                result[name][seen] = values.double().numpy()
        return result

    def _read(self, images: Tensor, landmarks: Tensor) -> dict[str, Tensor]:
        decode = self.labels.decode
        movable = torch.tensor([not name.startswith(IDLE) for name in self.model.expression_names])
        offset = decode["landmarks.offset"]
        found = fitting.fit(self.model, landmarks, landmark_sigma(), offset=offset, movable=movable)
        points = self.model.vertices(found.identity, found.expression, slice(0, FACE))
        narrow = self.model.triangles_within(torch.arange(len(self.model.neutral)) < FACE)
        everywhere = torch.ones_like(images[:, :1])
        vertices, pose = decode["texture.vertices"], (found.rotation, found.translation)
        samples = sample_colours(images, everywhere, points, narrow, vertices, *pose)
        texture, gamma = split_light(samples, decode)
        identity = Standard(decode["identity.mean"], decode["identity.std"])
        expression = Standard(decode["expression.mean"], decode["expression.std"])
        return {
            "shape": identity.apply(found.identity),
            "expression": expression.apply(found.expression),
            "texture": texture,
            "illumination": gamma,
            "rotation": found.rotation,
            "translation": found.translation,
        }

    def _landmarks(self, images: Tensor) -> tuple[list[int], Tensor]:
        """Pictures with a face, and their 68 landmarks in pixels at 256."""
        size = (TOOL_SIZE, TOOL_SIZE)
        rows, points = self.tool.landmarks([to_image(image).resize(size, Image.LANCZOS) for image in images])
        chosen = points[:, list(MEDIAPIPE_68), :2] if rows else np.zeros((0, len(MEDIAPIPE_68), 2))
        return rows, torch.from_numpy(chosen.astype(np.float32)) * (fitting.SIZE / TOOL_SIZE)


def split_light(samples: Samples, decode: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Albedo components and light of single pictures, in the terms of a label file.

    ``facesep.analysis.texture.separate`` does the same for a whole data set, whose patterns of albedo
    it finds on the way; here they are given.

    Args:
        samples: colours of B pictures.
        decode: means and components of the label file.

    Returns:
        ``Tensor[B, K]`` and ``Tensor[B, 27]``.
    """
    skin = Components(decode["texture.mean"], decode["texture.std"], decode["texture.basis"])
    usual = skin.mean.unflatten(0, (-1, 3))
    colour, normal, weight = samples.colour, samples.normal, samples.weight
    front = (sh_basis(normal) * weight[..., None]).sum(1) / weight.sum(1, keepdim=True).clamp_min(1e-6)
    pattern = usual.expand_as(colour)
    for _ in range(ROUNDS):
        gamma = fit_light(colour, normal, pattern, weight)
        albedo = (colour / shading(normal, gamma).clamp_min(0.1)).clamp(0, 1.5)
        albedo = torch.where(weight[..., None] > 0, albedo, usual)
        smooth = skin.undo(skin.apply(albedo.flatten(1)).clamp(-3, 3)).unflatten(1, (-1, 3))
        smooth = smooth.clamp_min(0.02)
        # The level of a picture belongs to its light here; patterns must not take it away.
        pattern = smooth * usual.mean(0) / smooth.mean(1, keepdim=True)
    gain = (-(1 - LIGHT_SHARE) * light_level(gamma, front[..., None])).exp()
    albedo = torch.where(weight[..., None] > 0, albedo / gain[:, None], usual)
    return skin.apply(albedo.flatten(1)), scaled_light(gamma, gain)

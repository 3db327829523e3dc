"""The ICT face model (USC Institute for Creative Technologies, MIT) in the head frame of facesep."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from facesep.analysis.obj import read_folder
from facesep.camera import TEMPLATE_5
from facesep.errors import DataError

FACE = 6706
"""Vertices 0 to 6705 are the narrow face."""
HEAD = 11248
"""Vertices 0 to 11247 are face, head and neck; what follows lies inside (mouth, eyes) or on them."""
EYEBALLS, EYEBALLS_END = 21451, 24591
"""Where the eyeballs begin and end; mouth, eye sockets, gums and teeth come before, lashes after."""
EYES, NOSE_TIP, MOUTH_CORNERS = (slice(36, 42), slice(42, 48)), 30, (48, 54)
"""Where the five points lie among the 68 landmarks."""


@dataclass(frozen=True)
class MorphableModel:
    """A linear face: ``neutral + identity weights * shapes + expression weights * shapes``.

    Attributes:
        neutral: ``Tensor[V, 3]``, decimetres in the head frame of ``facesep.camera``.
        identity: ``Tensor[K, V, 3]`` offsets; weights are about N(0, 1).
        expression: ``Tensor[E, V, 3]`` offsets; weights run from 0 to 1.
        triangles: ``int64 Tensor[T, 3]``, counter-clockwise seen from outside.
        landmarks: ``int64 Tensor[68]`` vertices of the iBUG landmarks.
        expression_names: names of the expression shapes.
    """

    neutral: Tensor
    identity: Tensor
    expression: Tensor
    triangles: Tensor
    landmarks: Tensor
    expression_names: tuple[str, ...]

    @staticmethod
    def load(path: str | Path) -> MorphableModel:
        """Reads the model (centimetres) and brings it to the head frame.

        Args:
            path: the compact ``.npz`` form, or the folder of ``.obj`` files of the model's repository.

        Raises:
            DataError: if it is missing or holds something else.
        """
        path = Path(path)
        if path.is_dir():
            return MorphableModel.from_arrays(read_folder(path))
        try:
            with np.load(path, allow_pickle=False) as file:
                return MorphableModel.from_arrays(dict(file))
        except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise DataError(f"{path} is not the compact ICT face model: {error}") from error

    @staticmethod
    def from_arrays(arrays: dict[str, np.ndarray]) -> MorphableModel:
        """Builds the model from the arrays of its compact form, in any unit."""
        quads = arrays["faces"].astype(np.int64)
        triangles = np.concatenate([quads[:, :3], quads[quads[:, 3] >= 0][:, [0, 2, 3]]])
        return MorphableModel(
            *(
                torch.from_numpy(arrays[key].astype(np.float32))
                for key in ("neutral", "identity", "expression")
            ),
            torch.from_numpy(triangles),
            torch.from_numpy(arrays["landmarks68"].astype(np.int64)),
            tuple(str(name) for name in arrays["expression_names"]),
        ).to_head_frame()

    def to_head_frame(self) -> MorphableModel:
        """Moves the model by the similarity that takes its five points to ``TEMPLATE_5``.

        The head is symmetric, so the similarity is a scale, a turn about x and a shift in y and z.
        """
        matrix, shift = similarity_to_template(five_points(self.neutral[self.landmarks]))
        return MorphableModel(
            self.neutral @ matrix.T + shift,
            self.identity @ matrix.T,
            self.expression @ matrix.T,
            self.triangles,
            self.landmarks,
            self.expression_names,
        )

    def subset(self, vertices: Tensor | slice) -> tuple[Tensor, Tensor, Tensor]:
        """``(neutral, identity, expression)`` of some vertices."""
        return self.neutral[vertices], self.identity[:, vertices], self.expression[:, vertices]

    def vertices(self, identity: Tensor, expression: Tensor, chosen: Tensor | slice) -> Tensor:
        """Vertices of deformed heads, without pose.

        Args:
            identity: ``Tensor[B, K]`` weights.
            expression: ``Tensor[B, E]`` weights.
            chosen: which vertices.

        Returns:
            ``Tensor[B, N, 3]`` in the head frame.
        """
        neutral, shapes, moves = self.subset(chosen)
        offset = identity @ shapes.flatten(1) + expression @ moves.flatten(1)
        return neutral + offset.unflatten(1, (-1, 3))

    def triangles_within(self, keep: Tensor) -> Tensor:
        """Triangles all of whose vertices are kept (``bool Tensor[V]``)."""
        return self.triangles[keep[self.triangles].all(1)]


def five_points(landmarks: Tensor) -> Tensor:
    """Eye centres, nose tip and mouth corners ``[..., 5, D]`` of 68 landmarks ``[..., 68, D]``."""
    eyes = [landmarks[..., eye, :].mean(-2) for eye in EYES]
    others = [landmarks[..., i, :] for i in (NOSE_TIP, *MOUTH_CORNERS)]
    return torch.stack([*eyes, *others], -2)


def similarity_to_template(points: Tensor) -> tuple[Tensor, Tensor]:
    """Fits scale, turn about x and shift in y and z that take five points to the template.

    Args:
        points: ``Tensor[5, 3]`` of a symmetric head facing +z, any unit.

    Returns:
        ``(matrix, shift)``: a head-frame point is ``matrix @ p + shift``.
    """
    template = torch.tensor(TEMPLATE_5, dtype=torch.float64)
    source = points.double()
    p, q = source - source.mean(0), template - template.mean(0)
    # Minimise |q - s Rx p|^2. With the (y, z) parts as complex numbers, Rx multiplies by exp(i angle),
    # so the best angle aligns sum(conj(p) q), and the scale follows.
    real = (p[:, 1:] * q[:, 1:]).sum()
    imag = (p[:, 1] * q[:, 2] - p[:, 2] * q[:, 1]).sum()
    length = torch.hypot(real, imag)
    scale = ((p[:, 0] * q[:, 0]).sum() + length) / p.square().sum()
    cos, sin = (real / length).item(), (imag / length).item()
    matrix = scale * torch.tensor([[1, 0, 0], [0, cos, -sin], [0, sin, cos]], dtype=torch.float64)
    shift = template.mean(0) - matrix @ source.mean(0)
    shift[0] = 0.0  # the template is symmetric up to a few micrometres of rounding; the head exactly
    return matrix.float(), shift.float()

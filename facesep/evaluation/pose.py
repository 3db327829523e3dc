"""Does a render turn its head as its codes say? Poses read off renders by a network that knows no codes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from facesep.camera import euler_angles, rotation_matrix
from facesep.codes import Codes
from facesep.evaluation.statistics import Row, Scores, Summary, summary_rows
from facesep.model import FaceSep
from facesep.nets.official.tddfa import CROP, Tddfa, rotation

VIEWS = (None, 0.0, -30.0, 30.0)
"""Yaw of the renders in degrees; None is the photo's own. Pitch and roll stay the photo's own."""
ANGLES = ("pitch", "yaw", "roll")
FACE_BOX = (0.495, 0.660, 0.489)
"""Centre and mean side of the box around the 68 landmarks, in shares of the canonical square: mean over 302
portraits, which differ from it by 0.015."""
BOX_DOWN, BOX_SIDE = 0.14, 1.58
"""How the network's crop follows from that box: moved down and widened, in units of its side."""

NOTE = (
    "{photos} photos of {people} people ({split}). Each photo's codes are rendered at its own yaw and at "
    "others, and {tool} reads the head's rotation off the render. 'turn' is the angle between the rotation "
    "of the code and what is read, the others are the differences of single angles; degrees, means over "
    "people, in brackets 95 % bootstrap intervals. The two conventions for a head that looks straight ahead "
    "differ by one constant rotation ({offset:.1f} degrees); it is found on the photos and their labels "
    "(train/analyse.py), not on renders. 'photos': the photos (heads on white) against their labels, the "
    "noise of the measure itself."
)


class PoseTool(Protocol):
    """Reads head rotations off pictures."""

    name: str

    def rotations(self, images: Tensor) -> Tensor:
        """``Tensor[N, 3, 3]`` of canonical pictures ``Tensor[N, 3, S, S]`` on white."""


class TddfaPose:
    """3DDFA_V2 at a fixed place of the canonical square, where faces are by construction.

    Args:
        path: ``mb05_120x120`` as ``.safetensors``.
        device: where it computes.

    Raises:
        CheckpointError: for another file.
    """

    name = "3DDFA_V2 (mb05)"

    def __init__(self, path: str | Path, device: str = "cpu") -> None:
        self.net = Tddfa.from_file(path).to(device)
        self.device = device

    @torch.no_grad()
    def rotations(self, images: Tensor) -> Tensor:
        """See ``PoseTool``."""
        parts = [rotation(self.net(face_crop(part.to(self.device)))).cpu() for part in images.split(64)]
        return torch.cat(parts)


def face_crop(images: Tensor) -> Tensor:
    """The network's window ``Tensor[B, 3, 120, 120]`` of canonical pictures; white lies beyond the edge."""
    x, y, size = FACE_BOX
    y, side = y + BOX_DOWN * size, BOX_SIDE * size
    window = images.new_tensor([[side, 0.0, 2 * x - 1], [0.0, side, 2 * y - 1]])
    grid = F.affine_grid(window.expand(len(images), 2, 3), (len(images), 3, CROP, CROP), align_corners=False)
    return 1 - F.grid_sample(1 - images, grid, align_corners=False)


def constant_turn(truth: Tensor, read: Tensor) -> Tensor:
    """The rotation ``C`` with ``truth @ C`` nearest to ``read``, by least squares (Kabsch, 1976).

    Args:
        truth: ``Tensor[N, 3, 3]``.
        read: ``Tensor[N, 3, 3]``.
    """
    u, _, v = torch.linalg.svd((truth.mT @ read).sum(0))
    flip = torch.diag(torch.stack((u.new_ones(()), u.new_ones(()), torch.det(u @ v).sign())))
    return u @ flip @ v


def angle_between(a: Tensor, b: Tensor) -> Tensor:
    """Angle of the turn from one rotation to another: ``Tensor[N]`` in degrees."""
    # By the chord, which stays exact for small angles, where the arc cosine of the trace does not.
    chord = (a.cpu().double() - b.cpu().double()).flatten(1).norm(dim=1) / math.sqrt(8)
    return torch.rad2deg(2 * torch.asin(chord.clamp(max=1)))


@dataclass(frozen=True)
class PoseErrors:
    """Absolute errors in degrees, ``[N]`` each.

    Attributes:
        turn: angle between the two rotations.
        angles: differences of pitch, yaw and roll by name.
    """

    turn: np.ndarray
    angles: dict[str, np.ndarray]


def errors(expected: Tensor, read: Tensor) -> PoseErrors:
    """Compares rotations ``Tensor[N, 3, 3]``."""
    apart = torch.rad2deg((euler_angles(expected) - euler_angles(read)).abs())
    each = {name: apart[:, column].numpy() for column, name in enumerate(ANGLES)}
    return PoseErrors(angle_between(expected, read).numpy(), each)


@torch.no_grad()
def measure(
    sep: FaceSep,
    codes: Codes,
    targets: Tensor,
    labels: Tensor,
    tool: PoseTool,
    on_view: Callable[[int, int], object] | None = None,
) -> tuple[dict[str, PoseErrors], float]:
    """Renders and reads all views.

    Args:
        sep: the model.
        codes: of N photos.
        targets: ``Tensor[N, 3, S, S]`` the photos, heads on white.
        labels: ``Tensor[N, 3]`` angles of the photos by the closed-form analysis, radians.
        tool: what reads poses.
        on_view: called with the numbers of views done and to do.

    Returns:
        Errors by view (``photos`` first), and the constant turn between the conventions in degrees.
    """
    truth = rotation_matrix(labels.float())
    read = tool.rotations(targets)
    offset = constant_turn(truth, read)
    found = {"photos": errors(truth @ offset, read)}
    for done, yaw in enumerate(VIEWS, start=1):
        angles = codes.rotation.float().cpu().clone()
        if yaw is not None:
            angles[:, 1] = math.radians(yaw)
        images = sep.render(codes, yaw=yaw, output="tensor").float().cpu().clamp(0, 1)
        expected = rotation_matrix(angles) @ offset
        found[view_name(yaw)] = errors(expected, tool.rotations(images))
        if on_view:
            on_view(done, len(VIEWS))
    turn = angle_between(offset[None], torch.eye(3)[None])
    return found, float(turn)


def view_name(yaw: float | None) -> str:
    """Of a row in the table."""
    return "own pose" if yaw is None else f"yaw {yaw:+.0f}" if yaw else "yaw 0"


def summarise(found: Mapping[str, PoseErrors], people: Sequence[str], seed: int = 0) -> Summary:
    """Means over people with intervals, by view."""
    values = {view: {"turn": one.turn, **one.angles} for view, one in found.items()}
    return Scores(list(people), [], values).summary(seed)


def rows(summary: Summary) -> list[Row]:
    """The table, in degrees."""
    return summary_rows(summary, "view", dict.fromkeys(("turn", *ANGLES), "{:.1f}".format))

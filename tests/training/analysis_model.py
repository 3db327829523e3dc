"""A small mirror-symmetric morphable head for tests: an ellipsoid, and 68 landmarks of a face before it."""

from __future__ import annotations

import numpy as np
import torch

from facesep.analysis.landmarks import MIRROR_68
from facesep.analysis.morphable import MorphableModel

SEMI = np.array([0.72, 0.95, 0.75])
"""Half axes in dm."""
CENTRE = np.array([0.0, 0.05, -0.35])

# Places of the right half (image left) and the middle as (x, y) in dm, mirrored by MIRROR_68.
HALF = {
    **{i: (-0.66 + 0.02 * i * i / 2, 0.25 - 0.15 * i) for i in range(8)},
    8: (0.0, -0.80),
    **{17 + i: (-0.50 + 0.09 * i, 0.44 + 0.03 * min(i, 4 - i)) for i in range(5)},
    27: (0.0, 0.30),
    28: (0.0, 0.19),
    29: (0.0, 0.08),
    30: (0.0, -0.03),
    31: (-0.12, -0.12),
    32: (-0.06, -0.14),
    33: (0.0, -0.15),
    36: (-0.42, 0.29),
    37: (-0.35, 0.33),
    38: (-0.26, 0.33),
    39: (-0.18, 0.28),
    40: (-0.26, 0.26),
    41: (-0.35, 0.26),
    48: (-0.25, -0.38),
    49: (-0.16, -0.33),
    50: (-0.07, -0.30),
    51: (0.0, -0.31),
    57: (0.0, -0.48),
    58: (-0.08, -0.47),
    59: (-0.17, -0.43),
    60: (-0.21, -0.38),
    61: (-0.09, -0.37),
    62: (0.0, -0.37),
    66: (0.0, -0.40),
    67: (-0.09, -0.40),
}


def depth_at(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Height of the face above (x, y)."""
    inside = 1 - ((x - CENTRE[0]) / SEMI[0]) ** 2 - ((y - CENTRE[1]) / SEMI[1]) ** 2
    nose = 0.3 * np.exp(-(x**2 + ((y + 0.02) / 1.6) ** 2) / 0.02)
    return CENTRE[2] + SEMI[2] * np.sqrt(np.maximum(inside, 0.0)) + nose


def synthetic_arrays() -> dict[str, np.ndarray]:
    """The arrays of the compact form; the unit is the centimetre."""
    steps = 41
    polar = np.linspace(0.12, np.pi - 0.12, steps)
    round_ = np.linspace(-np.pi, np.pi, 2 * steps, endpoint=False)
    p, a = np.meshgrid(polar, round_, indexing="ij")
    shell = CENTRE + SEMI * np.stack((np.sin(p) * np.sin(a), np.cos(p), np.sin(p) * np.cos(a)), -1)
    shell = shell.reshape(-1, 3)
    count = len(round_)
    i, j = np.meshgrid(np.arange(steps - 1), np.arange(count), indexing="ij")
    k = (j + 1) % count
    quads = np.stack((i * count + j, (i + 1) * count + j, (i + 1) * count + k, i * count + k), -1).reshape(
        -1, 4
    )

    places = np.zeros((68, 2))
    for index, (x, y) in HALF.items():
        places[index] = x, y
        places[MIRROR_68[index]] = (-x, y) if MIRROR_68[index] != index else (x, y)
    points = np.column_stack((places, depth_at(places[:, 0], places[:, 1])))
    neutral = np.concatenate((shell, points))

    x, y, z = neutral.T
    side = np.tanh(6 * x)
    mouth = np.exp(-((y + 0.38) ** 2) / 0.03) * (z > 0)
    zero = np.zeros_like(x)
    identity = np.stack(
        [
            np.stack((0.06 * x, zero, zero), -1),
            np.stack((zero, 0.08 * y * np.abs(y), zero), -1),
            np.stack((zero, zero, 0.05 * np.exp(-(x**2 + y**2) / 0.05)), -1),
        ]
    )
    smile = [np.exp(-((x - s * 0.25) ** 2) / 0.02) * mouth for s in (1, -1)]
    expression = np.stack(
        [np.stack((s * 0.08 * m, 0.1 * m, -0.05 * m), -1) for s, m in zip((1, -1), smile, strict=True)]
        + [
            np.stack((zero, -0.25 * (y < -0.385) * (z > -0.2), zero), -1),
            0.06 * np.stack((side * mouth, zero, zero), -1),
        ]
    )
    return {
        "neutral": (10 * neutral).astype(np.float32),
        "faces": quads,
        "identity": (10 * identity).astype(np.float32),
        "expression": (10 * expression).astype(np.float32),
        "landmarks68": np.arange(len(shell), len(neutral)),
        "expression_names": np.array(["smile_L", "smile_R", "jawOpen", "mouthWide"]),
    }


def synthetic_model() -> MorphableModel:
    return MorphableModel.from_arrays(synthetic_arrays())


def flip_expression(weights: torch.Tensor) -> torch.Tensor:
    """Weights of the mirrored face."""
    return weights[..., [1, 0, 2, 3]]

"""Reads the face model from the folder of Wavefront files that its repository holds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from facesep.errors import DataError

NEUTRAL = "generic_neutral_mesh"


def read_folder(folder: Path) -> dict[str, np.ndarray]:
    """Reads ``FaceXModel``: the neutral mesh, identity and expression shapes and the landmarks.

    Args:
        folder: with ``generic_neutral_mesh.obj``, ``identity000.obj`` and on, one file for each
            expression, and ``vertex_indices.json``.

    Returns:
        The arrays of the compact form: ``neutral [V, 3]``, ``faces [F, 4]`` (-1 ends a triangle),
        ``identity [K, V, 3]``, ``expression [E, V, 3]``, ``landmarks68``, ``expression_names``.

    Raises:
        DataError: if a file is missing or the meshes differ in size.
    """
    try:
        landmarks = json.loads((folder / "vertex_indices.json").read_text(encoding="utf-8"))[
            "idx_to_landmark_verts"
        ]
        neutral, faces = read_obj(folder / f"{NEUTRAL}.obj")
        paths = sorted(path for path in folder.glob("*.obj") if path.stem != NEUTRAL)
        shapes = {path.stem: read_obj(path)[0] - neutral for path in paths}
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{folder} does not hold the ICT face model as .obj files: {error}") from error
    identity = [shape for name, shape in shapes.items() if name.startswith("identity")]
    names = [name for name in shapes if not name.startswith("identity")]
    if not identity or not names:
        raise DataError(f"{folder} has no identity or no expression shapes: clone the whole repository")
    return {
        "neutral": neutral,
        "faces": faces,
        "identity": np.stack(identity),
        "expression": np.stack([shapes[name] for name in names]),
        "landmarks68": np.asarray(landmarks, np.int64),
        "expression_names": np.array(names),
    }


def read_obj(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Vertices ``float32 [V, 3]`` and faces ``int64 [F, 4]`` (counted from 0, -1 ends a triangle)."""
    vertices, faces = [], []
    with open(path, encoding="utf-8") as file:
        for line in file:
            kind, _, rest = line.partition(" ")
            if kind == "v":
                vertices.append([float(number) for number in rest.split()[:3]])
            elif kind == "f":
                corners = [int(corner.partition("/")[0]) - 1 for corner in rest.split()]
                if len(corners) not in (3, 4):
                    raise ValueError(f"{path.name} has a face with {len(corners)} corners")
                faces.append((corners + [-1])[:4])
    return np.array(vertices, np.float32).reshape(-1, 3), np.array(faces, np.int64).reshape(-1, 4)

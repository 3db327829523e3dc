"""Official weight files of other projects, checked and turned into facesep's own.

Only plain tensors are read (``torch.load(weights_only=True)`` or safetensors), and only here: facesep
itself never unpickles.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from facesep.importers import adaface, arcface, bisenet, ctrlhair, deep3d, difface, headnerf, vgg19
from facesep.importers.files import Imported, read
from facesep.nets.files import write_network

ORIGINS: dict[str, ModuleType] = {
    "adaface": adaface,
    "deep3d": deep3d,
    "ctrlhair": ctrlhair,
    "headnerf": headnerf,
    "arcface": arcface,
    "bisenet": bisenet,
    "vgg19": vgg19,
    "difface": difface,
}
"""Modules by origin; each has ``TITLE``, ``LICENCE``, ``matches`` and ``load``."""


@dataclass(frozen=True)
class Identity:
    """What a weight file is.

    Attributes:
        origin: a key of ``ORIGINS``, or an empty string for an unknown file.
        title: what it holds, in words.
        licence: what its authors allow.
    """

    origin: str
    title: str
    licence: str

    def __str__(self) -> str:
        if not self.origin:
            return self.title
        return f"{self.title}\nlicence: {self.licence}\nimport it with: train/import_weights.py {self.origin}"


def identify(path: str | Path) -> Identity:
    """Says what a weight file is.

    Raises:
        CheckpointError: if the file is missing, damaged or holds more than tensors.
    """
    tree = read(path)
    for name, origin in ORIGINS.items():
        details = origin.matches(tree)
        if details is not None:
            return Identity(name, f"{origin.TITLE} ({details})", origin.LICENCE)
    return Identity("", f"not a weight file that facesep knows; it knows {', '.join(ORIGINS)}", "")


def import_file(origin: str, path: str | Path, out: str | Path, **options) -> tuple[Path, Imported]:
    """Imports one file as one network.

    Args:
        origin: a key of ``ORIGINS``.
        path: the official file.
        out: folder for ``<network>.safetensors``.
        options: passed to the origin's ``load``.

    Returns:
        The file written, and the network with its notes.

    Raises:
        CheckpointError: if the file is not what the origin expects.
    """
    module = ORIGINS[origin]
    network = module.load(path, **options)
    target = Path(out) / f"{network.network}.safetensors"
    write_network(target, network.network, network.state, f"{module.TITLE}; {module.LICENCE}")
    return target, network

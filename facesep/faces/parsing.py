"""facexlib's face parsers as label maps of one class order, for users who have their weights."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from facesep.errors import ConfigError
from facesep.faces.retinaface import import_facexlib, weights_file

FILES = {"bisenet": "parsing_bisenet.pth", "parsenet": "parsing_parsenet.pth"}
"""Name of the parser and of its weights file."""
SIZE = 512
"""Side of the parsers' input in pixels."""
CLASSES = (
    *("background", "skin", "nose", "glasses", "left_eye", "right_eye", "left_brow", "right_brow"),
    *("left_ear", "right_ear", "mouth", "upper_lip", "lower_lip", "hair", "hat", "earring", "necklace"),
    *("neck", "cloth"),
)
"""The order of labels in results: that of CelebAMask-HQ (13 is hair)."""
BISENET_CLASSES = (
    *("background", "skin", "left_brow", "right_brow", "left_eye", "right_eye", "glasses", "left_ear"),
    *("right_ear", "earring", "nose", "mouth", "upper_lip", "lower_lip", "neck", "necklace", "cloth"),
    *("hair", "hat"),
)
"""The order of labels that BiSeNet speaks (17 is hair)."""
HEAD = CLASSES[1:14]
"""What facesep calls the head: face, ears, hair and glasses."""

_BISENET_TO_CLASSES = torch.tensor([CLASSES.index(name) for name in BISENET_CLASSES])
_MEAN = {"bisenet": (0.485, 0.456, 0.406), "parsenet": (0.5, 0.5, 0.5)}
_STD = {"bisenet": (0.229, 0.224, 0.225), "parsenet": (0.5, 0.5, 0.5)}


@lru_cache(maxsize=2)
def _network(name: str, folder: str) -> torch.nn.Module:
    from facexlib.parsing import init_parsing_model

    return init_parsing_model(name, device="cpu", model_rootpath=folder).eval()


def parse(image: Image.Image, parser: str, weights_dir: str | Path | None) -> np.ndarray:
    """Label of every pixel of an aligned face.

    Args:
        image: RGB, a canonical or FFHQ-like crop of one face.
        parser: ``"bisenet"`` or ``"parsenet"``.
        weights_dir: folder that holds the file of that name in ``FILES``; nothing is downloaded.

    Returns:
        ``uint8[H, W]`` of the image's size, indices into ``CLASSES``.

    Raises:
        ConfigError: for an unknown parser, or if facexlib or the weights are missing.
    """
    if parser not in FILES:
        raise ConfigError(f"there is no parser {parser!r}: use one of {', '.join(FILES)}")
    path = weights_file(weights_dir, FILES[parser], parser)
    import_facexlib(parser)
    picture = image.convert("RGB").resize((SIZE, SIZE), Image.BILINEAR)
    values = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)[None].float() / 255
    mean, std = (torch.tensor(table[parser])[:, None, None] for table in (_MEAN, _STD))
    with torch.inference_mode():
        labels = _network(parser, str(path.parent))((values - mean) / std)[0].argmax(1)[0]
    if parser == "bisenet":
        labels = _BISENET_TO_CLASSES[labels]
    small = Image.fromarray(labels.to(torch.uint8).numpy())
    return np.asarray(small.resize(image.size, Image.NEAREST))


def head_mask(labels: np.ndarray) -> np.ndarray:
    """``bool[H, W]``: face, ears, hair and glasses, without neck, clothes, hat and jewellery."""
    return np.isin(labels, [CLASSES.index(name) for name in HEAD])

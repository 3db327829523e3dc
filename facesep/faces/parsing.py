"""Face parsers: the bundled one, and those of facexlib for users who have their weights."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from facesep.errors import CheckpointError, ConfigError
from facesep.faces.retinaface import import_facexlib, weights_file
from facesep.nets.face_parser import CLASSES as BUNDLED_CLASSES
from facesep.nets.face_parser import FaceParser

FILES = {"bisenet": "parsing_bisenet.pth", "parsenet": "parsing_parsenet.pth"}
"""Name of the parser and of its weights file."""
BUNDLED = "bundled"
PARSERS = (BUNDLED, *FILES)
SIZE = 512
"""Side of facexlib's parsers' input in pixels."""
BUNDLED_SIZE = 256
"""The same of the bundled parser."""
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
_NAMES = {"body": "cloth", "brows": "skin", "eyes": "skin", "lips": "mouth"}
"""The bundled parser tells neither left from right, nor upper from lower, nor neck from clothes."""
_BUNDLED_TO_CLASSES = torch.tensor([CLASSES.index(_NAMES.get(name, name)) for name in BUNDLED_CLASSES])
_MEAN = {"bisenet": (0.485, 0.456, 0.406), "parsenet": (0.5, 0.5, 0.5)}
_STD = {"bisenet": (0.229, 0.224, 0.225), "parsenet": (0.5, 0.5, 0.5)}


@lru_cache(maxsize=4)
def bundled_parser(device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32) -> FaceParser:
    """The bundled face parser, read once for each device and type.

    Its batch normalisations are folded into the convolutions. It is an ``nn.Module`` (for export);
    ``face_probabilities`` is the short way.

    Args:
        device: where it computes.
        dtype: in which type, that of the images.

    Raises:
        CheckpointError: if the bundled file is missing or damaged.
    """
    try:
        data = resources.files("facesep").joinpath("assets", "parser", "parser.safetensors").read_bytes()
        weights = {key: value.float() for key, value in load(data).items()}
        network = FaceParser()
        for key, value in network.state_dict().items():
            if key.endswith("num_batches_tracked"):
                weights.setdefault(key, value)
        network.load_state_dict(weights)
    except Exception as error:
        raise CheckpointError(
            f"the bundled face parser (parser.safetensors) cannot be read: reinstall facesep ({error})"
        ) from error
    return folded(network.requires_grad_(False)).to(device, dtype, memory_format=torch.channels_last)


def folded(network: nn.Module) -> nn.Module:
    """Folds batch normalisations into the convolutions before them, in place: the same, for less work."""
    network.eval()
    for block in network.modules():
        if isinstance(block, nn.Sequential) and len(block) > 1 and isinstance(block[1], nn.BatchNorm2d):
            block[0], block[1] = fuse_conv_bn_eval(block[0], block[1]), nn.Identity()
    return network


def face_probabilities(images: Tensor) -> Tensor:
    """Which part of a head each pixel shows, by the bundled parser.

    Args:
        images: ``Tensor[B, 3, H, W]``, RGB in [0, 1]: canonical images at 256 px (or another multiple of 64),
            white outside the photo, on any device and in any floating type.

    Returns:
        ``Tensor[B, 8, H, W]``, adding up to 1; channels in the order of
        ``facesep.nets.face_parser.CLASSES``.
    """
    return bundled_parser(images.device, images.dtype).probabilities(images)


def _parse_bundled(image: Image.Image) -> np.ndarray:
    small = image.convert("RGB").resize((BUNDLED_SIZE, BUNDLED_SIZE), Image.BILINEAR)
    values = torch.from_numpy(np.asarray(small).copy()).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        logits = bundled_parser()(values)
        fine = nn.functional.interpolate(logits, image.size[::-1], mode="bilinear", align_corners=False)
        return _BUNDLED_TO_CLASSES[fine[0].argmax(0)].to(torch.uint8).numpy()


@lru_cache(maxsize=2)
def _network(name: str, folder: str) -> torch.nn.Module:
    from facexlib.parsing import init_parsing_model

    return init_parsing_model(name, device="cpu", model_rootpath=folder).eval()


def parse(image: Image.Image, parser: str, weights_dir: str | Path | None) -> np.ndarray:
    """Label of every pixel of an aligned face.

    Args:
        image: RGB, a canonical or FFHQ-like crop of one face (canonical for the bundled parser).
        parser: ``"bundled"``, ``"bisenet"`` or ``"parsenet"``.
        weights_dir: folder that holds the file of that name in ``FILES``; nothing is downloaded. The bundled
            parser needs none.

    Returns:
        ``uint8[H, W]`` of the image's size, indices into ``CLASSES``.

    Raises:
        ConfigError: for an unknown parser, or if facexlib or the weights are missing.
    """
    if parser == BUNDLED:
        return _parse_bundled(image)
    if parser not in FILES:
        raise ConfigError(f"there is no parser {parser!r}: use one of {', '.join(PARSERS)}")
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

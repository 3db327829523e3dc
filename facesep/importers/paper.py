"""The paper's model from official weight files: a complete checkpoint to start training from."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch

from facesep.checkpoint import write_checkpoint
from facesep.checksums import sha256
from facesep.codes import CODE_SIZES
from facesep.config import EncoderConfig, ModelConfig, preset, to_dict
from facesep.importers import adaface, bisenet, ctrlhair, deep3d, headnerf
from facesep.importers.files import State
from facesep.nets.decoder import Decoder
from facesep.nets.official.rnet import ATTRIBUTE_HEADS, single_head
from facesep.nets.paper_encoder import PaperEncoder

FACEXLIB_FILE = "weights/parsing_bisenet.pth"
"""Where facexlib keeps the parser once it has fetched it, in its package."""


def _parser_file() -> Path | None:
    """The parser that facexlib has already downloaded, if any."""
    spec = importlib.util.find_spec("facexlib")
    for folder in spec.submodule_search_locations or () if spec else ():
        if (path := Path(folder) / FACEXLIB_FILE).is_file():
            return path
    return None


def assemble(
    out: str | Path,
    adaface_file: str | Path,
    deep3d_file: str | Path,
    ctrlhair_file: str | Path,
    bisenet_file: str | Path | None = None,
    headnerf_file: str | Path | None = None,
    *,
    image_size: int = 1024,
    colour: Literal["rgb", "bgr"] | None = None,
) -> list[str]:
    """Writes a checkpoint whose encoder is the paper's at the start of training.

    Args:
        out: the checkpoint's folder.
        adaface_file: recognition trunk; IR-50 in the paper, the smaller and larger ones work too.
        deep3d_file: R-Net, from which the five single-headed copies are made.
        ctrlhair_file: hair shape encoder.
        bisenet_file: face parser; by default the one that facexlib has downloaded. Without either the
            model cannot encode hair.
        headnerf_file: decoder to start from; without it the decoder is untrained.
        image_size: side of the rendered image: 1024 in the paper, 512 or 256.
        colour: order of the channels of the AdaFace weights, where the file does not tell.

    Returns:
        Notes on what was left out or changed, one line each.

    Raises:
        CheckpointError: if a file is not what it should be.
        ConfigError: for an image size that does not fit or a folder that holds something else.
    """
    bisenet_file = bisenet_file or _parser_file()
    decoder_config = replace(preset("paper").decoder, image_size=image_size)
    shape = adaface.load(adaface_file, colour)
    rnet = deep3d.load(deep3d_file)
    hair = ctrlhair.load(ctrlhair_file)
    imported = [shape, rnet, hair]
    heads: dict[str, State] = {"shape.net": shape.state, "hair.net": hair.state}
    heads |= {f"{attribute}.net": single_head(rnet.state, attribute) for attribute in ATTRIBUTE_HEADS}
    sources = {
        "adaface": (adaface, adaface_file),
        "deep3d": (deep3d, deep3d_file),
        "ctrlhair": (ctrlhair, ctrlhair_file),
    }
    if bisenet_file is not None:
        imported.append(bisenet.load(bisenet_file))
        heads["hair.parser"] = imported[-1].state
        sources["bisenet"] = (bisenet, bisenet_file)
    notes = [f"{network.network}: {note}" for network in imported for note in network.notes]
    if bisenet_file is None:
        notes.append("hair: no face parser, so the model renders and edits but cannot encode; add --bisenet")
    encoder_config = EncoderConfig(
        kind="paper",
        recognition=shape.network.split("-")[1],
        parser="none" if bisenet_file is None else "bisenet",
    )
    encoder = _in_order(encoder_config, heads)
    if headnerf_file is not None:
        decoder_config = headnerf.planes(decoder_config)
        network = headnerf.load(headnerf_file, decoder_config)
        decoder = network.state
        notes += [f"decoder: {note}" for note in network.notes]
        sources["headnerf"] = (headnerf, headnerf_file)
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            decoder = Decoder(decoder_config).state_dict()
        notes.append("decoder: untrained; give --headnerf, or train it first")
    origin = {
        name: {"file": Path(path).name, "sha256": sha256(Path(path)), "licence": module.LICENCE}
        for name, (module, path) in sources.items()
    }
    write_checkpoint(
        out,
        to_dict(ModelConfig(encoder_config, decoder_config)),
        {"encoder": encoder, "decoder": decoder},
        {"train_config.json": {"imported_from": origin, "notes": notes}},
    )
    return notes


def _in_order(config: EncoderConfig, heads: dict[str, State]) -> State:
    """All heads under the encoder's keys and in its order."""
    flat = {f"heads.{head}.{key}": value for head, state in heads.items() for key, value in state.items()}
    with torch.device("meta"):
        table = PaperEncoder(config).state_dict()
    assert flat.keys() == table.keys(), "the importers and the encoder disagree"
    assert {name.split(".")[1] for name in table} == set(CODE_SIZES)
    return {key: flat[key] for key in table}

"""DifFace's two official files as a refiner in diffusers' layout."""

from __future__ import annotations

from pathlib import Path

import torch

from facesep.checksums import sha256
from facesep.errors import CheckpointError
from facesep.importers import difface

SETTINGS = {"steps": 100, "start": 400, "eta": 0.5, "offset": 4}
"""DifFace's own: 100 of the 250 respaced steps, noise of step 400, eta 0.5; the network is told 396 first."""


def assemble_refiner(out: str | Path, unet_file: str | Path, estimator_file: str | Path) -> None:
    """Writes a refiner that does what DifFace does for aligned faces.

    Args:
        out: the refiner's folder.
        unet_file: ``iddpm_ffhq512_ema500000.pth``.
        estimator_file: ``swinir_restoration512_L1.pth``.

    Raises:
        CheckpointError: if a file is not what it should be.
        ConfigError: if diffusers is not installed.
    """
    from facesep.refine import FaceRefiner, SwinIREstimator

    found = {}
    for wanted, path in (("difface-unet", unet_file), ("swinir", estimator_file)):
        network = difface.load(path)
        if network.network != wanted:
            raise CheckpointError(f"{path} holds {network.network}, not {wanted}: give each file its option")
        found[wanted] = network.state
    from facesep.nets.official.difface_unet import difface_scheduler
    from facesep.refine.networks import difface_unet

    with torch.device("meta"):
        unet = difface_unet()
    unet.load_state_dict(found["difface-unet"], assign=True)
    estimator = SwinIREstimator()
    estimator.load_state_dict(found["swinir"])
    names = " and ".join(f"{Path(one).name} ({sha256(Path(one))})" for one in (unet_file, estimator_file))
    about = {
        "license": "other",
        "summary": f"The networks of DifFace. Licence: {difface.LICENCE}.",
        "imported_from": names,
        "data": [{"name": "FFHQ", "license": "CC BY-NC-SA 4.0"}],
    }
    refiner = FaceRefiner(unet, difface_scheduler(), estimator, **SETTINGS, about=about)
    refiner.save_pretrained(out)

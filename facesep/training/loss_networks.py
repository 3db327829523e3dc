"""The fixed networks behind L_perc and L_id, chosen by the configuration."""

from __future__ import annotations

from torch import nn

from facesep.training.config import TrainConfig


def loss_networks(
    config: TrainConfig, perceptual: str | None, recogniser: str | None
) -> tuple[nn.Module | None, nn.Module | None]:
    """Loads frozen networks from their files.

    Args:
        config: ``config.perceptual`` and ``config.recogniser`` say which networks the files hold.
        perceptual: file with weights for L_perc; None leaves the loss out.
        recogniser: file with weights for L_id; None leaves the loss out.

    Returns:
        A network with ``taps(image)`` and one with ``embed(image, points)``.

    Raises:
        CheckpointError: if a file does not hold the network.
    """
    trunk = face = None
    if perceptual and config.perceptual == "st_vgg":
        from facesep.nets.official.st_lpips import StLpips

        trunk = StLpips.from_file(perceptual, config.perceptual_slices)
    elif perceptual:
        from facesep.nets.official.vgg19 import VGG19

        trunk = VGG19.from_file(perceptual)
    if recogniser and config.recogniser == "mobilefacenet":
        from facesep.nets.official.mobilefacenet import MobileFaceNet

        face = MobileFaceNet.load(recogniser)
    elif recogniser:
        from facesep.nets.official.arcface import ArcFace

        face = ArcFace.from_file(recogniser)
    return trunk, face

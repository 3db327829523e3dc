"""A run that starts from the networks of another checkpoint, also with a deeper encoder."""

from __future__ import annotations

from torch import Tensor, nn

from facesep.config import EncoderConfig
from facesep.errors import ConfigError
from facesep.model import FaceSep
from facesep.nets.encoder import ResidualBlock


def begin_with(encoder: nn.Module, decoder: nn.Module, config: EncoderConfig, start: FaceSep) -> None:
    """Copies the networks of a checkpoint.

    A light encoder may have more residual blocks than the checkpoint's. Those are added at the end of their
    stages and begin as identities (their last scale is zero, and what comes in is not negative), so the
    codes are the same at first.

    Args:
        encoder: the run's encoder; changed in place.
        decoder: the run's decoder; changed in place.
        config: the run's encoder.
        start: the checkpoint.

    Raises:
        ConfigError: if the networks differ in anything else.
    """
    state, own = start.encoder.state_dict(), start.config.encoder
    if config.kind == own.kind == "light" and len(config.blocks) == len(own.blocks):
        _silence(encoder)
        state = encoder.state_dict() | _renumbered(state, own.blocks, config.blocks)
    try:
        encoder.load_state_dict(state)
        decoder.load_state_dict(start.decoder.state_dict())
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip()
        raise ConfigError(
            f"the networks of --init do not fit 'model' of the configuration: leave it out there ({first})"
        ) from error


def _silence(encoder: nn.Module) -> None:
    """Makes every residual block an identity."""
    for block in encoder.modules():
        if isinstance(block, ResidualBlock):
            nn.init.zeros_(block.norm_2.weight)
            nn.init.zeros_(block.norm_2.bias)


def _renumbered(state: dict[str, Tensor], old: tuple[int, ...], new: tuple[int, ...]) -> dict[str, Tensor]:
    """Names the weights of heads with ``old`` blocks a stage as in heads with ``new`` blocks."""
    places, before = {}, 0
    for few, many in zip(old, new, strict=True):
        for k in range(3 + few):  # convolution, norm and ReLU stand before the blocks of a stage
            places[len(places)] = before + k
        before += 3 + many
    renamed = {}
    for name, value in state.items():
        _, attribute, part, *rest = name.split(".")
        if part == "stages":
            rest[0] = str(places[int(rest[0])])
        renamed[".".join(("heads", attribute, part, *rest))] = value
    return renamed

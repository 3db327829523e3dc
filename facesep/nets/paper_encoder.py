"""The encoder of the paper: IR-50, five R-Nets and a hair mask encoder, each with its own crop."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facesep.codes import ATTRIBUTES, CODE_SIZES, Codes
from facesep.config import EncoderConfig
from facesep.errors import ConfigError
from facesep.nets.crops import arcface_crop, deep3d_crop, projected_points
from facesep.nets.official.bisenet import HAIR, BiSeNet
from facesep.nets.official.hair import HairEncoder, mask_from_probability
from facesep.nets.official.iresnet import IResNet
from facesep.nets.official.rnet import ATTRIBUTE_HEADS, RNet
from facesep.nets.streams import side_by_side


def as_constants(module: nn.Module) -> nn.Module:
    """Turns a module's parameters into buffers: they are saved and moved with it, and never trained."""
    for part in module.modules():
        for name, parameter in list(part.named_parameters(recurse=False)):
            delattr(part, name)
            part.register_buffer(name, parameter.detach())
    return module


class ShapeHead(nn.Module):
    """PH_shape: AdaFace's unit vector, times sqrt(512) so that its numbers are about 1 like other codes."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.net = IResNet(config.recognition, config.width)

    def forward(self, image: Tensor, points: Tensor | None = None) -> Tensor:
        """Encodes the identity shape.

        Args:
            image: canonical RGB ``Tensor[B, 3, S, S]`` in [0, 1].
            points: ``Tensor[B, 5, 2]``, eyes, nose tip and mouth corners in its pixels; by default
                those of the mean head facing the camera, which fits frontal photos only.

        Returns:
            ``Tensor[B, 512]`` of length sqrt(512).
        """
        if points is None:
            pose = torch.zeros(len(image), 3, device=image.device)
            points = projected_points(pose, pose, image.shape[-1])
        crop = arcface_crop(image, points) * 2 - 1
        unit, _ = self.net(crop.to(self.net.input_layer[0].weight.dtype))
        return F.normalize(unit.float(), dim=-1) * math.sqrt(CODE_SIZES["shape"])


class CoefficientHead(nn.Module):
    """PH_exp, PH_tex, PH_illu, PH_rot or PH_tran: an R-Net with the layer of one attribute."""

    def __init__(self, config: EncoderConfig, attribute: str) -> None:
        super().__init__()
        self.net = RNet((CODE_SIZES[attribute],), config.width)

    def forward(self, image: Tensor) -> Tensor:
        """Canonical RGB ``Tensor[B, 3, S, S]`` in [0, 1] to the code ``Tensor[B, n]``."""
        return self.from_crop(deep3d_crop(image))

    def from_crop(self, crop: Tensor) -> Tensor:
        """The same from ``deep3d_crop(image)``, which the five heads can share."""
        return self.net(crop.to(self.net.final_layers[0].weight.dtype)).float()


class HairHead(nn.Module):
    """PH_hair: the mask encoder on the parser's hair probability.

    The probability instead of the label keeps the way back to the image open. The parser is a fixed
    instrument: its weights are buffers, and its norms stay in evaluation mode.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.parser = as_constants(BiSeNet()) if config.parser == "bisenet" else None
        self.net = HairEncoder(config.width // 2)
        as_constants(self.net.std_out_layer)  # the code is the mean alone
        self.train(self.training)

    def train(self, mode: bool = True) -> HairHead:
        """Sets the mode of the mask encoder; the parser stays in evaluation mode."""
        super().train(mode)
        if self.parser is not None:
            self.parser.eval()
        return self

    def forward(self, image: Tensor) -> Tensor:
        """Encodes the hairstyle.

        Args:
            image: canonical RGB ``Tensor[B, 3, S, S]`` in [0, 1].

        Returns:
            ``Tensor[B, 16]``.

        Raises:
            ConfigError: if the model has no face parser.
        """
        if self.parser is None:
            raise ConfigError(
                "this model has no face parser, so it cannot see the hair of a photo: import the paper's "
                "weights again with --bisenet FILE (docs/checkpoints.md says where to get it)"
            )
        hair = self.parser.probabilities(image)[:, HAIR : HAIR + 1]
        return self.net(mask_from_probability(hair).to(self.net.out_layer.fc.weight.dtype)).float()


class PaperEncoder(nn.Module):
    """The seven heads of the paper; no part is shared, so each attribute trains on its own.

    Attributes:
        heads: the networks by attribute.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        heads: dict[str, nn.Module] = {"shape": ShapeHead(config), "hair": HairHead(config)}
        heads |= {name: CoefficientHead(config, name) for name in ATTRIBUTE_HEADS}
        self.heads = nn.ModuleDict({name: heads[name] for name in ATTRIBUTES})

    def forward(self, image: Tensor, points: Tensor | None = None) -> Codes:
        """Encodes canonical images.

        Args:
            image: RGB ``Tensor[B, 3, S, S]`` in [0, 1].
            points: ``Tensor[B, 5, 2]``, detected eyes, nose tip and mouth corners in its pixels. Without
                them the mean head is posed by the predicted rotation and translation, which is how
                rendered images are encoded. They only place a crop: no gradient flows through them.

        Returns:
            Batched codes.
        """
        crop = deep3d_crop(image)
        tasks = [partial(self.heads[name].from_crop, crop) for name in ATTRIBUTE_HEADS]
        tasks.append(partial(self.heads["hair"], image))
        found = side_by_side(tasks, image.device)
        codes = dict(zip((*ATTRIBUTE_HEADS, "hair"), found, strict=True))
        if points is None:
            points = projected_points(codes["rotation"], codes["translation"], image.shape[-1])
        codes["shape"] = self.heads["shape"](image, points.detach())
        return Codes(**codes)

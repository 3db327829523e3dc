"""The networks of a model as separate graphs of fixed size, and how compiled ones take their place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facesep.nets.decoder import CHUNK
from facesep.nets.encoder import LightHead
from facesep.nets.field import Field, Folded, positional_encoding
from facesep.nets.official.bisenet import SIZE as PARSER_SIZE
from facesep.nets.paper_encoder import HairHead, ShapeHead
from facesep.nets.upsampler import Upsampler

if TYPE_CHECKING:
    from facesep.model import FaceSep

Graph = Callable[..., Sequence[Tensor]]
"""A compiled network: tensors of the sizes that it was compiled for to tensors."""


@dataclass(frozen=True)
class Part:
    """One network.

    Attributes:
        name: such as ``decoder.field``.
        module: what is compiled; it maps tensors to one tensor or a tuple.
        inputs: example tensors by name; a graph is compiled for these sizes, one image at a time.
        outputs: names of the results.
        target: the module of the model whose forward pass the graph replaces.
        adapt: turns the graph into that forward pass; None where torch is faster, so that the graph is only
            written to files for others.
    """

    name: str
    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: tuple[str, ...]
    target: nn.Module
    adapt: Callable[[nn.Module, Graph], Callable[..., Any]] | None


class FieldGraph(nn.Module):
    """The field on encoded points, with the codes' share given as biases and, if it is modulated, scales.

    Args:
        field: gives the weights.

    Attributes:
        sizes: channels of the layers that codes move: three of them, or all of a modulated field.
    """

    def __init__(self, field: Field) -> None:
        super().__init__()
        self.field = field
        folded = _folded(field)
        self.weights = folded.weights
        self.constant = [None if _moved(bias) else bias for bias in folded.biases]
        self.sizes = [bias.shape[-1] for bias in folded.biases if _moved(bias)]

    def forward(self, encoded: Tensor, biases: Tensor, scales: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """``[P, encoded]`` and ``[1, sum of sizes]`` to density ``[P]`` and hidden colour features."""
        field, hidden = self.field, encoded
        biases = iter(biases.split(self.sizes, -1))
        scales = iter(() if scales is None else scales.split(self.sizes, -1))
        for index, (weight, constant) in enumerate(zip(self.weights, self.constant, strict=True)):
            if index == len(field.trunk):
                density = field.density_activation(field.density(hidden))[:, 0]
            if index and index == field.skip:
                hidden = torch.cat((encoded, hidden), -1)
            sums = F.linear(hidden, weight, constant)
            if field.modulation is not None:
                sums = sums * next(scales)
            hidden = F.relu(sums + next(biases) if constant is None else sums)
        return density, hidden


def _moved(bias: Tensor) -> bool:
    """Whether codes move a bias of ``Folded``, so that each image has its own."""
    return bias.ndim == 3


@torch.no_grad()
def _folded(field: Field) -> Folded:
    """The field for codes of zeros."""
    geometry = field.trunk[0].in_features - field.encoded
    appearance = field.colour_1.in_features - field.colour_0.out_features
    weight = field.density.weight
    return field.folded(weight.new_zeros(1, geometry), weight.new_zeros(1, appearance))


class UpsamplerGraph(nn.Module):
    """The whole 2D renderer.

    Args:
        upsampler: gives the weights.
    """

    def __init__(self, upsampler: Upsampler) -> None:
        super().__init__()
        self.upsampler = upsampler

    def forward(self, features: Tensor) -> Tensor:
        """``[1, features, n, n]`` to RGB ``[1, 3, S, S]``."""
        return torch.sigmoid(self.upsampler.layers(features))


def parts(sep: FaceSep) -> list[Part]:
    """The networks of a model, decoder first.

    Light heads are left out: they are so small that nothing is gained.
    """
    config, field = sep.config.decoder, sep.decoder.field
    graph = FieldGraph(field)
    moved = {"biases": torch.zeros(1, sum(graph.sizes))}
    if config.modulated:
        moved["scales"] = torch.ones(1, sum(graph.sizes))
    found = [
        Part(
            "decoder.field",
            graph,
            {"encoded": torch.zeros(CHUNK, field.encoded), **moved},
            ("density", "hidden"),
            field,
            field_forward,
        ),
        Part(
            "decoder.upsampler",
            UpsamplerGraph(sep.decoder.upsampler),
            {"features": torch.zeros(1, config.features, config.ray_size, config.ray_size)},
            ("image",),
            sep.decoder.upsampler,
            None,
        ),
    ]
    for attribute, head in sep.encoder.heads.items():
        found += _head_parts(f"encoder.{attribute}", head)
    return found


def _head_parts(name: str, head: nn.Module) -> list[Part]:
    def part(label: str, module: nn.Module, *shape: int, outputs: tuple[str, ...] = ("code",)) -> Part:
        return Part(label, module, {"image": torch.zeros(1, *shape)}, outputs, module, image_forward)

    if isinstance(head, LightHead):
        return []
    if isinstance(head, ShapeHead):
        return [part(name, head.net, 3, 112, 112, outputs=("unit", "length"))]
    if isinstance(head, HairHead):
        parser = [] if head.parser is None else [head.parser]
        return [
            *(
                part("encoder.parser", one, 3, PARSER_SIZE, PARSER_SIZE, outputs=("logits",))
                for one in parser
            ),
            part(name, head.net, 1, head.net.size, head.net.size),
        ]
    return [part(name, head.net, 3, 224, 224)]


def install(found: Sequence[Part], compile: Callable[[Part], Graph]) -> None:
    """Compiles parts and puts them in the place of the modules' forward passes without gradients."""
    for part in found:
        if part.adapt is not None:
            fast = part.adapt(part.target, compile(part))
            part.target.forward = _switch(part.target.forward, fast)


def _switch(usual: Callable[..., Any], fast: Callable[..., Any]) -> Callable[..., Any]:
    """The fast forward pass, or the usual one while gradients are recorded."""

    def forward(*inputs: Any) -> Any:
        return (usual if torch.is_grad_enabled() else fast)(*inputs)

    return forward


def image_forward(module: nn.Module, graph: Graph) -> Callable[[Tensor], Tensor | tuple[Tensor, ...]]:
    """A forward pass over a batch, image by image."""

    def forward(image: Tensor) -> Tensor | tuple[Tensor, ...]:
        rows = [graph(one[None]) for one in image]
        results = tuple(torch.cat(column) for column in zip(*rows, strict=True))
        return results if len(results) > 1 else results[0]

    return forward


def field_forward(module: Field, graph: Graph) -> Callable[[Tensor, Folded], tuple[Tensor, Tensor]]:
    """The field in pieces of the graph's size; the last one is filled up."""

    def forward(points: Tensor, folded: Folded) -> tuple[Tensor, Tensor]:
        encoded = positional_encoding(points, module.frequencies)
        moved = [torch.cat([bias for bias in folded.biases if _moved(bias)], -1)]
        if folded.scales is not None:
            moved.append(torch.cat(folded.scales, -1))
        densities, hiddens = [], []
        for index, image in enumerate(encoded):
            own = [one[index] for one in moved]
            pieces = []
            for piece in image.split(CHUNK):
                filled = F.pad(piece, (0, 0, 0, CHUNK - len(piece)))
                pieces.append([result[: len(piece)] for result in graph(filled, *own)])
            density, hidden = (torch.cat(column) for column in zip(*pieces, strict=True))
            densities.append(density)
            hiddens.append(hidden)
        return torch.stack(densities), torch.stack(hiddens)

    return forward

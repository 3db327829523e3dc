"""CUDA graphs: a whole pass is recorded once and replayed, so that hundreds of small kernels start as one.

At batch 1 a GPU computes a face in less time than Python needs to ask for it; a replay asks once.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from facesep.codes import ATTRIBUTES, Codes
from facesep.nets.decoder import Rendering

if TYPE_CHECKING:
    from facesep.model import FaceSep

WARM_UP = 3
"""Passes before the recording, in which libraries choose their kernels and constants are made."""
MOST = 4
"""Sizes of inputs whose recordings are kept; each holds the memory of its pass."""

Pass = Callable[..., Sequence[Tensor]]


class _Recording(NamedTuple):
    graph: torch.cuda.CUDAGraph
    inputs: list[Tensor]
    outputs: list[Tensor]


class Recorded:
    """A pass without gradients, recorded for each size of its inputs when it is first called with it.

    Args:
        function: maps tensors to tensors, in the same way for all values: nothing in it may wait for a
            number that the GPU computes.
    """

    def __init__(self, function: Pass) -> None:
        self.function = function
        self.recordings: OrderedDict[tuple, _Recording] = OrderedDict()
        self._lock = threading.Lock()  # inputs and outputs have one place in memory

    def __call__(self, *inputs: Tensor) -> list[Tensor]:
        """The function's results; they belong to the caller."""
        key = tuple((one.shape, one.dtype) for one in inputs)
        with self._lock:
            if key not in self.recordings:
                if len(self.recordings) >= MOST:
                    self.recordings.popitem(last=False)
                self.recordings[key] = self._record(inputs)
            self.recordings.move_to_end(key)
            graph, held, outputs = self.recordings[key]
            for place, given in zip(held, inputs, strict=True):
                place.copy_(given)
            graph.replay()
            return [one.clone() for one in outputs]

    def _record(self, inputs: Sequence[Tensor]) -> _Recording:
        held = [one.clone() for one in inputs]
        device = held[0].device
        benchmark, torch.backends.cudnn.benchmark = torch.backends.cudnn.benchmark, True
        try:
            side = torch.cuda.Stream(device)
            side.wait_stream(torch.cuda.current_stream(device))
            with torch.cuda.stream(side):
                for _ in range(WARM_UP):
                    self.function(*held)
            torch.cuda.current_stream(device).wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            # Other threads may use the GPU meanwhile.
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                outputs = list(self.function(*held))
        finally:
            torch.backends.cudnn.benchmark = benchmark
        return _Recording(graph, held, outputs)


def record(sep: FaceSep, recorder: Callable[[Pass], Pass] = Recorded) -> None:
    """Lets recordings take the place of a model's forward passes when gradients are switched off.

    Convolutions get the order of numbers in memory that a GPU's matrix units want (channels last).

    Args:
        sep: a model on a GPU.
        recorder: makes the recorded form of a pass.
    """
    sep.encoder.to(memory_format=torch.channels_last)
    sep.decoder.upsampler.to(memory_format=torch.channels_last)
    encoder, decoder = sep.encoder.forward, sep.decoder.forward

    def codes_of(*inputs: Tensor) -> list[Tensor]:
        codes = encoder(*inputs)
        return [getattr(codes, name) for name in ATTRIBUTES]

    def picture_of(*codes: Tensor) -> list[Tensor]:
        seen = decoder(Codes(*codes))
        return [seen.image, seen.opacity, seen.distance]

    encode, render = recorder(codes_of), recorder(picture_of)

    def encoder_forward(image: Tensor, points: Tensor | None = None) -> Codes:
        if torch.is_grad_enabled():
            return encoder(image, points)
        return Codes(*encode(image) if points is None else encode(image, points))

    def decoder_forward(codes: Codes, **options: object) -> Rendering:
        if torch.is_grad_enabled() or options:
            return decoder(codes, **options)
        return Rendering(*render(*(getattr(codes, name) for name in ATTRIBUTES)))

    sep.encoder.forward, sep.decoder.forward = encoder_forward, decoder_forward

"""The training loop of the face parser."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from facesep.errors import CheckpointError
from facesep.nets.face_parser import CLASSES, FaceParser
from facesep.training.faces.finder import average
from facesep.training.faces.state import load_state, save_state
from facesep.training.parsing.batches import Batches

WEIGHTS = (1.0, 1.0, 1.2, 1.0, 2.5, 2.5, 2.5, 3.0)
"""How much a pixel of each class counts."""
COARSE = 0.3
"""Share of the time in which the coarse part learns alone, on images of half the size."""
SIZE, HALF = 256, 128
"""Sides of the images."""
IMAGES, HALF_IMAGES = 8, 12
"""Images a step."""


def parser_loss(logits: Tensor, wanted: Tensor) -> Tensor:
    """Weighted cross entropy to shares of classes, and 1 - soft IoU averaged over the classes.

    Args:
        logits: ``Tensor[B, C, H, W]``.
        wanted: ``Tensor[B, C, H, W]``, all zero where nothing is known.
    """
    weights = torch.tensor(WEIGHTS, device=logits.device)[:, None, None]
    logs = logits.log_softmax(1)
    entropy = -(logs * wanted * weights).sum() / wanted.sum().clamp_min(1)
    found = logs.exp() * wanted.sum(1, keepdim=True)
    both = (found * wanted).sum((0, 2, 3))
    either = (found + wanted - found * wanted).sum((0, 2, 3))
    there = wanted.sum((0, 2, 3)) > 4
    miss = 1 - (both + 1) / (either + 1)
    return entropy + 0.5 * (miss * there).sum() / there.sum().clamp_min(1)


def train(work: Path, minutes: float, rate: float = 2e-3) -> None:
    """Trains the parser for some minutes; call it again to go on after an interruption.

    The rate rises over the first 2 % of the time and falls to zero by a cosine. The coarse part learns first,
    alone, then both.

    Args:
        work: the folder of the samples; receives ``parser.safetensors`` (averaged weights),
            ``state.safetensors`` and ``log.jsonl``.
        minutes: of training in all, interruptions not counted.
        rate: largest learning rate of AdamW.
    """
    torch.manual_seed(0)
    model = FaceParser().to(memory_format=torch.channels_last)
    slow = FaceParser()
    slow.load_state_dict(model.state_dict())
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.02)
    step = load_state(work / "state.safetensors", model, slow, optimiser)
    log = work / "log.jsonl"
    spent = json.loads(log.read_text().splitlines()[-1])["minutes"] if step else 0.0
    batches = Batches(work, seed=step)
    began, total, images = time.monotonic() - 60 * spent, 0.0, 0
    while (share := (time.monotonic() - began) / 60 / minutes) < 1:
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1.0, share / 0.02 + 0.02) * 0.5 * (1 + math.cos(math.pi * share))
        coarse = share < COARSE
        size, count = (HALF, HALF_IMAGES) if coarse else (SIZE, IMAGES)
        pictures, wanted = batches(count, size)
        pictures = pictures.contiguous(memory_format=torch.channels_last)
        model.train()
        loss = parser_loss(model.coarse(pictures)[1] if coarse else model.half_logits(pictures), wanted)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 3.0)
        optimiser.step()
        average(slow, model, min(0.998, step / (step + 20)))
        step, total, images = step + 1, total + count * loss.item(), images + count
        spent = (time.monotonic() - began) / 60
        if step % 50 == 0 or spent >= minutes:
            line = {"step": step, "minutes": spent, "loss": total / images, "size": size, "images": images}
            with log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            save_state(work / "state.safetensors", step, model, slow, optimiser)
            save_file(slow.state_dict(), work / "parser.safetensors")
            total, images = 0.0, 0


def pack(work: Path, target: Path) -> None:
    """Writes the averaged weights in half precision: the bundled file.

    Raises:
        CheckpointError: if half precision cannot hold them.
    """
    weights = load_file(work / "parser.safetensors")
    kept = {key: value.half() for key, value in weights.items() if value.is_floating_point()}
    if not all(torch.isfinite(value).all() for value in kept.values()):
        raise CheckpointError("the parser has weights that half precision cannot hold: train it again")
    target.mkdir(parents=True, exist_ok=True)
    save_file(kept, target / "parser.safetensors", {"classes": ",".join(CLASSES)})

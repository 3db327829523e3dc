"""Reads batches ahead of the training, in threads, with the same numbers as if it did not."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from facesep.training.dataset import PHOTO_SIZE, Augmentation, Batch, TrainingSet


@dataclass(frozen=True)
class Step:
    """What one training step wants to see.

    Attributes:
        rows: ``int64 [B]`` rows of the code book.
        size: side of target and mask.
        seed: of everything random in the batch; the same step of a resumed run gives the same seed.
        augmentation: None for the images as they are.
        partners: share of the items that get another photo of their person as well.
    """

    rows: Tensor
    size: int
    seed: int
    augmentation: Augmentation | None = None
    partners: float = 0.0


class Loader:
    """The batches of some steps, in their order.

    Each batch draws its randomness from a generator of its own, seeded by its step, so batches depend on
    neither the number of threads nor on what else is random. At most ``ahead`` batches are held.

    Args:
        data: where batches come from.
        steps: the steps; taken one at a time, a few ahead of the training.
        threads: that read and decode; 0 makes each batch when it is asked for. None chooses 0 for a set
            in memory, which is quick anyway, and otherwise one per core, up to four.
        ahead: batches in work or waiting; None for two a thread.

    To be iterated once. A loop that ends early stops the threads.
    """

    def __init__(
        self,
        data: TrainingSet,
        steps: Iterable[Step],
        threads: int | None = None,
        ahead: int | None = None,
    ) -> None:
        if threads is None:
            threads = 0 if data.in_memory else min(4, os.cpu_count() or 1)
        self.data, self.steps, self.threads = data, iter(steps), threads
        self.ahead = max(ahead or 2 * threads, 1)

    def __iter__(self) -> Iterator[Batch]:
        if self.threads == 0:
            return (self.make(step) for step in self.steps)
        return self._read_ahead()

    def make(self, step: Step) -> Batch:
        """The batch of one step."""
        generator = torch.Generator().manual_seed(step.seed)
        batch = self.data.batch(step.rows, step.size, step.augmentation, generator)
        chosen = torch.rand(len(step.rows), generator=generator) < step.partners
        return self._with_partners(batch, chosen, step, generator) if chosen.any() else batch

    def _with_partners(self, batch: Batch, chosen: Tensor, step: Step, generator: torch.Generator) -> Batch:
        rows = self.data.partner(step.rows[chosen], generator)
        others = self.data.batch(rows, PHOTO_SIZE, step.augmentation, generator)
        photo = others.photo.new_zeros(len(chosen), *others.photo.shape[1:])
        points = others.points.new_zeros(len(chosen), *others.points.shape[1:])
        at = chosen.nonzero()[:, 0].to(photo.device)
        photo[at], points[at] = others.photo, others.points
        return replace(batch, partnered=chosen, partner=photo, partner_points=points)

    def _read_ahead(self) -> Iterator[Batch]:
        todo: queue.SimpleQueue[_Slot | None] = queue.SimpleQueue()
        computing = torch.get_num_threads()
        started = threading.Barrier(self.threads + 1)
        workers = [
            threading.Thread(target=self._work, args=(todo, started), daemon=True)
            for _ in range(self.threads)
        ]
        for worker in workers:
            worker.start()
        started.wait()
        torch.set_num_threads(computing)  # the workers have set it for themselves, and for new threads
        slots: list[_Slot] = []
        try:
            while True:
                while len(slots) < self.ahead and (step := next(self.steps, None)) is not None:
                    slots.append(_Slot(step))
                    todo.put(slots[-1])
                if not slots:
                    return
                slot = slots.pop(0)
                slot.ready.wait()
                if slot.error is not None:
                    raise slot.error
                yield slot.batch
        finally:
            for slot in slots:
                slot.dropped = True
            for _ in workers:
                todo.put(None)
            for worker in workers:
                worker.join()

    def _work(self, todo: queue.SimpleQueue[_Slot | None], started: threading.Barrier) -> None:
        torch.set_num_threads(1)  # there is a thread for each core already
        started.wait()
        while (slot := todo.get()) is not None:
            if not slot.dropped:
                try:
                    slot.batch = self.make(slot.step)
                except BaseException as error:  # raised again where the batch is asked for
                    slot.error = error
            slot.ready.set()


class _Slot:
    """A batch on its way."""

    def __init__(self, step: Step) -> None:
        self.step = step
        self.ready = threading.Event()
        self.batch: Batch | None = None
        self.error: BaseException | None = None
        self.dropped = False

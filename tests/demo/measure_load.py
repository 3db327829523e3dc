"""How a page stands many visitors at once: waiting times, what was refused or lost, and memory.

Everybody opens the page, gives it a photo, moves sliders in Edit, drags the head in Turn, and leaves to come
again; every fifth also makes a video. The page runs as it is started, in a process of its own.

    python tests/demo/measure_load.py                  # 50 visitors for two minutes
    python tests/demo/measure_load.py --visitors 4 --seconds 20
    python tests/demo/measure_load.py --cores 0        # the page on the first core alone
    python tests/demo/measure_load.py --processes 2    # two, each on a core of its own, behind nginx
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from visiting import LostError, RefusedError, Visitor
from workers import behind_nginx, started

from facesep.demo.examples import FOLDER

PHOTOS = sorted(FOLDER.resolve().glob("*.jpg"))
FILM_EVERY = 5
"""One of so many visitors makes videos."""
LEFT = 20.0
"""Seconds after which the server knows that somebody has left: gradio looks every 15."""
PERCENTILES = (50, 90, 99, 100)


class Load:
    """What happens to all visitors.

    Args:
        url: of the page.
        pause: mean seconds between two things that a visitor does.

    Attributes:
        taken: seconds of each answered request, by kind.
        refused: how often the page gave a sentence instead of a result, by kind and sentence.
        lost: what went wrong without a word, likewise.
        waiting: visitors whose time is over.
    """

    def __init__(self, url: str, pause: float) -> None:
        self.url, self.pause = url, pause
        self.taken: dict[str, list[float]] = defaultdict(list)
        self.refused: Counter[tuple[str, str]] = Counter()
        self.lost: Counter[tuple[str, str]] = Counter()
        self.visits = self.waiting = 0
        self.leave = asyncio.Event()

    async def do(self, kind: str, what: Awaitable[object]) -> bool:
        """Takes the time of one request; says whether it was answered."""
        start = time.monotonic()
        try:
            await what
        except RefusedError as error:
            self.refused[kind, str(error)] += 1
        except LostError as error:
            self.lost[kind, str(error)] += 1
        else:
            self.taken[kind].append(time.monotonic() - start)
            return True
        return False

    async def come(self, number: int, end: float) -> None:
        """One visitor, who comes again and again until the end, and then stays until all have ended."""
        chance = random.Random(number)
        while time.monotonic() < end:
            await asyncio.sleep(self.pause * chance.random())
            async with Visitor(self.url) as one:
                self.visits += 1
                await self.visit(one, number, chance, end)
                if time.monotonic() >= end:
                    self.waiting += 1
                    await self.leave.wait()

    async def visit(self, one: Visitor, number: int, chance: random.Random, end: float) -> None:
        """What somebody does on the page, as far as the time goes."""
        if not await self.do("page", one.open()):
            return
        if not await self.do("photo", one.upload(PHOTOS[number % len(PHOTOS)])):
            return

        def drag(moving: bool) -> Awaitable[object]:
            return one.fire("turned", "turn", chance.randint(-40, 40), chance.randint(-20, 20), moving)

        todo = [("edit", lambda: one.tab("edit"))]
        for slider in range(1, 5):
            todo.append(("edit", lambda n=slider: one.set(f"edit-expression-{n}", chance.uniform(-2, 2))))
        todo.append(("turn", lambda: one.tab("turn")))
        todo += [*[("frame while dragging", lambda: drag(True))] * 5, ("turn", lambda: drag(False))] * 2
        if number % FILM_EVERY == 0:
            todo.insert(2, ("video", lambda: one.fire("orbit-button", "click")))
        before = ""
        for kind, what in todo:
            if "frame" not in kind + before:  # a drag goes on without a rest
                await asyncio.sleep(self.pause * chance.uniform(0.5, 1.5))
            if time.monotonic() >= end:
                return
            await self.do(kind, what())
            before = kind


class Memory:
    """Resident memory of processes in MB, and its peak."""

    def __init__(self, processes: list[int]) -> None:
        self._files = [Path(f"/proc/{one}/status") for one in processes]
        self.peak = 0.0

    def __call__(self) -> float:
        lines = [line for file in self._files for line in file.read_text(encoding="utf-8").splitlines()]
        now = sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024
        self.peak = max(self.peak, now)
        return now

    async def watch(self) -> None:
        while True:
            self()
            await asyncio.sleep(0.25)


async def measure(
    pages: list[str], url: str, memory: Memory, visitors: int, seconds: float, pause: float
) -> Load:
    """Lets the visitors in, and prints what it took the servers in memory."""
    for page in pages:  # what is computed once for all visitors
        alone = Load(page, 0.0)
        async with Visitor(page) as one:
            await alone.visit(one, 1, random.Random(0), time.monotonic() + 600)
    load, before, end = Load(url, pause), memory(), time.monotonic() + seconds
    watching = asyncio.create_task(memory.watch())
    everybody = asyncio.gather(*[load.come(number, end) for number in range(visitors)])
    while load.waiting < visitors and not everybody.done():
        await asyncio.sleep(0.25)
    load.seconds, all_open = time.monotonic() - end + seconds, memory()
    load.leave.set()
    await everybody
    await asyncio.sleep(LEFT)
    watching.cancel()
    each = (all_open - before) / visitors
    print(f"memory: {before:.0f} MB after a first visit, {memory.peak:.0f} at most;", end=" ")
    print(
        f"{all_open:.0f} when all have ended and nobody has left ({each:.1f} for each), {memory():.0f} after"
    )
    return load


def report(load: Load) -> None:
    """Prints a table in Markdown, and every kind of refusal and loss."""
    wrong = {"refused": load.refused, "lost": load.lost}
    kinds = dict.fromkeys([*load.taken, *[kind for one in wrong.values() for kind, _ in one]])
    head = ["", "answered", *wrong, *[f"p{one}" if one < 100 else "longest" for one in PERCENTILES]]
    print("\n| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")
    for kind in kinds:
        counts = [sum(count for (of, _), count in one.items() if of == kind) for one in wrong.values()]
        times = np.percentile(load.taken[kind] or [np.nan], PERCENTILES)
        row = [kind, len(load.taken[kind]), *counts, *[f"{one:.2f} s" for one in times]]
        print("| " + " | ".join(map(str, row)) + " |")
    answered = sum(map(len, load.taken.values()))
    print(
        f"\n{load.visits} visits, {answered / load.seconds:.2f} requests a second over {load.seconds:.0f} s"
    )
    for name, found in wrong.items():
        for (kind, text), count in found.items():
            print(f"{name}: {count} x {kind}: {text}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--visitors", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument(
        "--pause", type=float, default=20.0, help="mean seconds that a visitor looks at a result"
    )
    parser.add_argument("--cores", type=int, nargs="+", default=sorted(os.sched_getaffinity(0)))
    parser.add_argument("--processes", type=int, default=1, help="pages, each on its share of the cores")
    args = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="facesep-load-")))
        shares = [set(args.cores[n :: args.processes]) for n in range(args.processes)]
        pages = stack.enter_context(started(folder, shares))
        urls = [url for url, _ in pages]
        url = urls[0] if args.processes == 1 else stack.enter_context(behind_nginx(folder, urls))
        print(f"{args.visitors} visitors, {args.processes} processes on {len(args.cores)} cores", flush=True)
        how = (args.visitors, args.seconds, args.pause)
        report(asyncio.run(measure(urls, url, Memory([process.pid for _, process in pages]), *how)))


if __name__ == "__main__":
    main()

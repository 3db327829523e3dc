"""How long a single picture takes while others make videos, all at once on one page.

python tests/demo/measure_queue.py                         # 20 visitors, 5 of whom make videos
python tests/demo/measure_queue.py --visitors 4 --films 1
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import threading
import time
from pathlib import Path

from gradio_client import handle_file
from serving import connect, serve

from facesep import FaceSep
from facesep.config import preset
from facesep.demo.examples import FOLDER


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", help="random weights instead of the bundled checkpoint")
    parser.add_argument("--visitors", type=int, default=20)
    parser.add_argument("--films", type=int, default=5, help="visitors who make videos, one after another")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--pause", type=float, default=10.0, help="seconds between two pictures of a visitor")
    args = parser.parse_args()
    sep = FaceSep(preset(args.preset)) if args.preset else FaceSep.from_pretrained()
    with tempfile.TemporaryDirectory() as folder:
        for server in serve(sep, Path(folder)):
            clients = [connect(server) for _ in range(args.visitors)]
            films, pictures = visit(clients, args.films, args.seconds, args.pause)
            for client in clients:
                client.close()
    print(f"{sep.image_size} pixels, {len(os.sched_getaffinity(0))} cores, {args.visitors} visitors")
    print(f"{len(films)} videos of 120 frames, {statistics.mean(films or [float('nan')]):.1f} s each")
    late = statistics.quantiles(pictures, n=20)[-1]
    print(
        f"{len(pictures)} pictures: median {statistics.median(pictures):.2f} s, 19 of 20 within {late:.2f} s"
    )
    print(f"the slowest {max(pictures):.2f} s")


def visit(clients: list, films: int, seconds: float, pause: float) -> tuple[list[float], list[float]]:
    """Seconds that each video and each picture took, from the call to the file."""
    photos = [handle_file(str(path)) for path in sorted(FOLDER.resolve().glob("*.jpg"))]
    end, taken = time.monotonic() + seconds, ([], [])

    def ask(number: int, films: bool) -> None:
        options = {"frames": 120, "api_name": "/orbit"} if films else {"yaw": number, "api_name": "/render"}
        time.sleep(0 if films else 2 + pause * number / len(clients))
        while time.monotonic() < end:
            start = time.monotonic()
            clients[number].predict(photos[number % len(photos)], consent=True, **options)
            taken[0 if films else 1].append(time.monotonic() - start)
            time.sleep(0 if films else pause)

    threads = [threading.Thread(target=ask, args=(n, n < films)) for n in range(len(clients))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return taken


if __name__ == "__main__":
    main()

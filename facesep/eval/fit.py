"""Fits our decoder to each photo by gradient descent, a baseline for Tables 2 and 4.

The folder then goes to eval/table2.py as a method and to eval/speed.py for its seconds::

    python eval/fit.py --shards data/portraits --count 8 --out fitted
    python eval/table2.py --shards data/portraits --renders "per-image fitting=fitted" --partial
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from facesep import ConfigError
from facesep.data.heads import spread
from facesep.evaluation import fitting, options
from facesep.evaluation.report import describe
from facesep.evaluation.runner import Processes, ResultLog, measure_units, new_parser, run_script
from facesep.provenance import write_image


def main() -> int:
    """Parses the arguments and fits."""
    parser = new_parser(__doc__)
    options.add(parser, "checkpoint")
    options.add_data(parser)
    recipe = fitting.Recipe()
    parser.add_argument("--count", type=int, help="fit only so many of the photos, taken evenly")
    parser.add_argument("--steps", type=int, default=recipe.steps, help="of Adam for each photo")
    parser.add_argument("--rate", type=float, default=recipe.rate, help="learning rate")
    parser.add_argument("--prior", type=float, default=recipe.prior, help="weight of staying near the start")
    parser.add_argument("--start", choices=fitting.STARTS, default=recipe.start, help="codes to begin with")
    options.add(parser, "device")
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="folder of the renders; fits there are kept"
    )
    return run_script(parser, run)


def run(args: argparse.Namespace) -> None:
    """Fits the photos that are not done yet."""
    if args.count is not None and args.count < 1:
        raise ConfigError("--count must be at least 1")
    processes = Processes.of_this_run(args.device, args.out)
    (sep,) = options.open_models({"facesep": args.checkpoint}, processes.device).values()
    photos = options.open_photos(args, sep)
    recipe = fitting.Recipe(args.steps, args.rate, args.prior, args.start)
    settings = {
        "recipe": vars(recipe),
        "checkpoint": describe(args.checkpoint)["sha256"],
        "data": {key: value for key, value in photos.origin().items() if key != "rows"},
    }
    log = ResultLog(args.out, fitting.RESULTS, settings, processes.rank)
    places = spread(len(photos), args.count)
    names = [photos.name(place) for place in places]
    undone = set(names) - set(log.done())
    mean = fitting.mean_codes(sep, photos) if undone and recipe.start == "mean" else None

    def fit(units: list[int]) -> list[dict | None]:
        name, photo = names[units[0]], photos.read(places[units[0]])
        if photo is None:
            return [None]
        with tqdm(total=recipe.steps, desc=name, unit="step", disable=not processes.main) as bar:
            fitted = fitting.fit(sep, photo, recipe, mean, on_step=lambda _: bar.update())
        path = Path(args.out) / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(fitted.image, path, marked=False)  # marks would be measured
        losses = [round(value, 6) for value in (fitted.losses[0], fitted.losses[-1])]
        return [{"seconds": fitted.seconds, "loss": losses}]

    if measure_units(names, fit, log, processes) is not None:
        print(f"{args.out}: {fitting.mean_seconds(args.out):.1f} seconds a photo")


if __name__ == "__main__":
    sys.exit(main())

"""What the watermark survives, and what it costs: a table over results made of photos.

Heads are cut out by label maps beside the photos (NAME.label.png), where there are some.

Examples:
    python eval/watermark.py --photos photos/ --limit 100 --sizes 256 512 1024
    python eval/watermark.py --photos photos/ --limit 100 --sizes 512 --forms transparent photo
    python eval/watermark.py --renders --photos photos/ --limit 100
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from facesep.errors import DataError, FaceError
from facesep.evaluation.false_alarms import files
from facesep.evaluation.robustness import CHANGES, VIDEO, Result, as_result, head_mask, head_side, survival
from facesep.evaluation.runner import new_parser, progress, run_script
from facesep.images import load_image

FORMS = ("white", "transparent", "photo")
SHARP = 0.5
"""Photos are used whose head has at least this share of the pixels of the result."""


def main() -> int:
    """Parses the arguments, measures, prints a table."""
    parser = new_parser(__doc__)
    parser.add_argument("--photos", required=True, help="folder of photos")
    parser.add_argument("--limit", type=int, default=40, help="only so many, spread over the folder")
    parser.add_argument("--sizes", type=int, nargs="+", default=[512], help="pixels along a side")
    parser.add_argument("--forms", choices=FORMS, nargs="+", default=["white"], help="background")
    parser.add_argument("--changes", choices=(*CHANGES, VIDEO), nargs="+", help="these alone; default: all")
    parser.add_argument("--renders", action="store_true", help="renders of the bundled checkpoint instead")
    return run_script(parser, run)


def run(args: argparse.Namespace) -> None:
    """Measures and prints."""
    paths = files(args.photos)
    columns = {}
    if args.renders:
        results = renders(paths, args.limit)
        columns[f"render, {results[0].image.width} px"] = results
    for form, size in [] if args.renders else [(form, size) for form in args.forms for size in args.sizes]:
        sharp = [path for path in paths if head_side(path, load_image(path)) >= SHARP * size]
        columns[f"{form}, {size} px"] = [
            as_result(path, form, size, load_image(paths[(17 * number) % len(paths)]))
            for number, path in enumerate(spread(sharp, args.limit))
        ]
    found = {}
    for name, results in columns.items():
        print(name, file=sys.stderr, flush=True)
        found[name] = survival(results, partial(progress, total=len(results), what="results"), args.changes)
    print("| change | " + " | ".join(found) + " |")
    print("|---|" + "---|" * len(found))
    for name in args.changes or (*CHANGES, VIDEO):
        print(
            f"| {name} | " + " | ".join(f"{100 * each.found[name]:.0f} %" for each in found.values()) + " |"
        )
    for name, attribute, form in (("PSNR", "psnr", "{:.1f} dB"), ("SSIM", "ssim", "{:.3f}")):
        pairs = (getattr(each, attribute) for each in found.values())
        cells = (f"{form.format(middle)} ({form.format(low)})" for low, middle in pairs)
        print(f"| {name} on the head: median (lowest) | " + " | ".join(cells) + " |")
    print("| results | " + " | ".join(str(each.count) for each in found.values()) + " |")


def spread(paths: list[Path], limit: int) -> list[Path]:
    """At most so many paths, spread over the list.

    Raises:
        DataError: if there are none.
    """
    if not paths:
        raise DataError("no photo is large enough for that size: name larger ones, or a smaller size")
    return paths[:: max(1, len(paths) // limit)][:limit]


def renders(paths: list[Path], limit: int) -> list[Result]:
    """Photos rendered by the bundled checkpoint; what has no usable face is left out."""
    from facesep import FaceSep

    sep, found = FaceSep.from_pretrained(), []
    for number, path in enumerate(spread(paths, limit)):
        try:
            image = sep.render(sep.encode(path))
        except FaceError:
            continue
        page = load_image(paths[(17 * number) % len(paths)])
        found.append(Result(image, head_mask(Path("none"), image.size), False, page))
    return found


if __name__ == "__main__":
    sys.exit(main())

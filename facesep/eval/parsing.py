"""How well the bundled face parser labels portraits it has never seen.

Examples:
    python eval/parsing.py --portraits PORTRAITS --out parsing.json
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from facesep.evaluation.parsing import as_markdown, measure, summarise
from facesep.evaluation.runner import new_parser, run_script


def main() -> int:
    """Parses the arguments, measures, prints a table."""
    parser = new_parser(__doc__)
    parser.add_argument("--portraits", type=Path, required=True, help="annotated photos (docs/training.md)")
    parser.add_argument("--split", default="val", choices=("train", "val"))
    parser.add_argument("--limit", type=int, help="only so many photos, taken evenly")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    return run_script(parser, run)


def run(args: argparse.Namespace) -> None:
    """Measures and reports."""

    def said(done: int) -> None:
        if done % 50 == 0:
            print(f"{done} photos", file=sys.stderr, flush=True)

    summary = summarise(measure(args.portraits, args.split, args.limit, said))
    if args.out:
        args.out.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    print(as_markdown(summary))


if __name__ == "__main__":
    sys.exit(main())

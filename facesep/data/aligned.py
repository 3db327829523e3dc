"""FFHQ and CelebAMask-HQ: photos that were aligned before, so the face is in the middle."""

from __future__ import annotations

import json
from collections.abc import Iterator

from PIL import Image

from facesep.data.photos import SUFFIXES, Photo, PhotoSource
from facesep.data.source import STRICTNESS
from facesep.errors import Box, DataError


class AlignedSource(PhotoSource):
    """Photos that were aligned before: the face is in the middle."""

    MIDDLE: Box = (0.22, 0.22, 0.78, 0.9)

    def expected_box(self, known: Photo, photo: Image.Image) -> Box:
        """The middle of the photo."""
        left, top, right, bottom = self.MIDDLE
        return left * photo.width, top * photo.height, right * photo.width, bottom * photo.height


class FfhqSource(AlignedSource):
    """FFHQ: ``images1024x1024/00000/00000.png`` (or without the inner folders, or other suffixes).

    ``ffhq-dataset-v2.json``, if it is there, gives each photo's split, author and licence; without it the
    first 60,000 are for training and the others for validation, as its authors say.
    """

    name = "ffhq"
    TRAIN = 60_000

    def listing(self) -> Iterator[tuple[str, Photo]]:
        """Numbered pictures in order."""
        folder = self.root / "images1024x1024"
        folder = folder if folder.is_dir() else self.root
        facts = self._facts()
        files = {
            p.stem: p.relative_to(self.root).as_posix()
            for p in sorted(folder.rglob("[0-9][0-9][0-9][0-9][0-9].*"))
            if p.suffix.lower() in SUFFIXES
        }
        for number in sorted(files):
            split, known = facts.get(number, ("train" if int(number) < self.TRAIN else "val", {}))
            yield number, Photo(files[number], split, known=known)

    def _facts(self) -> dict[str, tuple[str, dict[str, str]]]:
        path = self.root / "ffhq-dataset-v2.json"
        if not path.is_file():
            return {}
        try:
            table = json.loads(path.read_text(encoding="utf-8"))
            return {
                f"{int(number):05d}": (
                    "train" if one["category"] == "training" else "val",
                    {
                        "licence": one["metadata"].get("license") or "",
                        "credit": one["metadata"].get("author") or "",
                    },
                )
                for number, one in table.items()
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"cannot read {path} ({error}): delete it or get it again") from error


class CelebAMaskSource(AlignedSource):
    """CelebAMask-HQ: ``CelebA-HQ-img/0.jpg``, masks in ``CelebAMask-HQ-mask-anno``.

    CelebA's people and splits are used where the files are there: ``CelebA-HQ-to-CelebA-mapping.txt`` (in
    the data set) with ``identity_CelebA.txt`` and ``list_eval_partition.txt`` (of CelebA).
    """

    name = "celebamask"

    def listing(self) -> Iterator[tuple[str, Photo]]:
        """Numbered pictures in order."""
        originals = {row[0]: row[-1] for row in self._rows("CelebA-HQ-to-CelebA-mapping.txt")[1:]}
        people = {row[0]: row[1] for row in self._rows("identity_CelebA.txt")}
        splits = {row[0]: STRICTNESS[int(row[1])] for row in self._rows("list_eval_partition.txt")}
        files = [p for p in (self.root / "CelebA-HQ-img").glob("*.jpg") if p.stem.isdecimal()]
        for file in sorted(files, key=lambda p: int(p.stem)):
            original = originals.get(file.stem, "")
            person = f"celeba:{people[original]}" if original in people else ""
            split = splits.get(original) or self.drawn_split(file.stem, person)
            yield file.stem, Photo(f"CelebA-HQ-img/{file.name}", split, person)

    def _rows(self, name: str) -> list[list[str]]:
        path = self.root / name
        try:
            return [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            raise DataError(f"cannot read {path} ({error}): delete it or get it again") from error

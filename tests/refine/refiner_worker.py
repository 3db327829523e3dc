"""One process of train/refiner.py; notes its weights and its photos. Started by test_refiner_processes.py."""

from __future__ import annotations

import hashlib
import json
import runpy
import sys
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from facesep.training.refiner.loop import RefinerTrainer
from facesep.training.refiner.pairs import Pairs

SCRIPT = Path(__file__).parents[2] / "train" / "refiner.py"


def digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of names and values."""
    total = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        total.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()


def main() -> None:
    run, batch, seen = RefinerTrainer.run, Pairs.batch, []

    def noted_batch(self, *arguments):
        soft, sharp = batch(self, *arguments)
        seen.append(digest({"soft": soft, "sharp": sharp}))
        return soft, sharp

    def noted_run(self):
        before = digest(self.network.state_dict())
        run(self)
        record = {
            "world": self.accelerator.num_processes,
            "before": before,
            "weights": digest(self.network.state_dict()),
            "average": digest(self.average.values),
            "seen": seen,
            "skipped": self.skipped,
        }
        (self.out / f"rank{self.accelerator.process_index}.json").write_text(json.dumps(record))

    RefinerTrainer.run, Pairs.batch = noted_run, noted_batch
    sys.argv[0] = str(SCRIPT)
    runpy.run_path(str(SCRIPT), run_name="__main__")


if __name__ == "__main__":
    main()

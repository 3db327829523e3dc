"""Hair transfer: overlaps by hand, donors, and the whole path with a tool that knows the answer."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facesep import FaceSep
from facesep.data.heads import ShardPhotos
from facesep.errors import ConfigError
from facesep.evaluation import hair
from facesep.evaluation.encoded import encode_all
from facesep.evaluation.external import call

# The first N pictures are the photos, then come N renders and N transfers: photo k has hair in row k, renders
# before and after the transfer keep the hair of the photo that they come from.
TOOL = """
import sys
from pathlib import Path
import numpy as np
names = [p.stem for p in sorted(Path(sys.argv[1]).glob("*.png"))]
count = len(names) // 3
masks = np.zeros((len(names), 10, 10), bool)
for k in range(len(names)):
    masks[k, k % count] = True
np.savez(sys.argv[2], names=np.array(names)[::-1], masks=masks[::-1])  # in an order of its own
"""


def test_overlap_by_hand():
    a, b = np.zeros((3, 4, 4), bool), np.zeros((3, 4, 4), bool)
    a[0, :2], b[0, 1:3] = True, True
    a[1, 0], b[1, 1] = True, True
    np.testing.assert_allclose(hair.overlap(a, b), [1 / 3, 0, np.nan])


def test_donors_are_other_people():
    people = ["a", "a", "b", "c"] * 5
    donors = hair.draw(people, 3)
    assert donors == hair.draw(people, 3) != hair.draw(people, 4)
    assert all(people[donor] != one for donor, one in zip(donors, people, strict=True))
    with pytest.raises(ConfigError, match="two people"):
        hair.draw(["a", "a"], 0)


def test_summary_by_hand():
    found = hair.Overlaps(
        donor=np.array([0.9, 0.5, 0.3, np.nan]),
        source=np.array([0.4, 0.6, 0.2, 0.5]),
        before=np.array([0.8, 0.8, 0.8, 0.8]),
        photos=np.array([0.5, 0.7, 0.1, 0.2]),
    )
    summary = hair.summarise(found, ["a", "b", "c", "d"])
    assert summary["all"]["transfers"] == 3 and summary["clearly different"]["transfers"] == 2
    assert summary["all"]["donor nearer"].value == pytest.approx(2 / 3)
    assert summary["clearly different"]["donor nearer"].value == 1
    assert summary["all"]["overlap with donor"].value == pytest.approx(1.7 / 3)
    rows = hair.rows(summary)
    assert rows[1]["donor nearer"] == "100 % (100 % to 100 %)" and rows[0]["transfers"] == 3
    nothing = hair.summarise(hair.Overlaps(*[np.full(2, np.nan)] * 4), ["a", "b"])
    assert nothing["all"]["donor nearer"] is None and hair.rows(nothing)[0]["transfers"] == 0


def test_the_whole_path(shards, checkpoint, tmp_path):
    (tmp_path / "tool.py").write_text(TOOL)
    sep = FaceSep.from_pretrained(checkpoint)
    photos = encode_all(sep, ShardPhotos(shards, "val", sep.image_size))
    assert photos.places == [0, 1, 2, 3] and len(photos.people) == len(photos.targets) == 4
    found = hair.measure(sep, photos, f"{sys.executable} {tmp_path / 'tool.py'}")
    np.testing.assert_allclose(found.source, 1)
    np.testing.assert_allclose(found.before, 1)
    np.testing.assert_allclose(found.donor, 0)
    np.testing.assert_allclose(found.photos, 0)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("masks=masks", "mask=masks", "no masks"),
        ("names=np.array(names)", "names=np.array(names[1:])", "masks for"),
        ("masks=masks", "masks=masks[:, 0]", r"one mask \[H, W\]"),
    ],
)
def test_tools_that_fail(shards, checkpoint, tmp_path, old, new, message):
    (tmp_path / "tool.py").write_text(TOOL.replace(old, new))
    sep = FaceSep.from_pretrained(checkpoint)
    photos = encode_all(sep, ShardPhotos(shards, "val", sep.image_size))
    with pytest.raises(ConfigError, match=message):
        hair.measure(sep, photos, f"{sys.executable} {tmp_path / 'tool.py'}")


FAKE_NCNN = """
import numpy as np
class Net:
    def load_param(self, path):
        assert path == "files/net.param"
    def load_model(self, path):
        assert path == "files/net.bin"
    def create_extractor(self):
        return Extractor()
class Extractor:
    def __enter__(self):
        return self
    def __exit__(self, *error):
        pass
    def input(self, name, data):
        assert name == "data" and data.shape == (3, 256, 256) and abs(data.mean()) < 0.1
        self.data = data
    def extract(self, name):
        assert name == "softmax_convlsigmoid_0"
        return 0, (self.data.mean(0, keepdims=True) < 0).astype(np.float32)
Mat = np.array
"""


def test_the_documented_script_keeps_the_contract(tmp_path):
    """With a stand-in for ncnn that finds hair in everything darker than the mean."""
    document = (Path(__file__).resolve().parents[2] / "docs" / "evaluation.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", document, re.DOTALL)
    (code,) = (block for block in blocks if "ncnn" in block)
    (tmp_path / "masks.py").write_text(code)
    (tmp_path / "ncnn.py").write_text(FAKE_NCNN)
    image = Image.new("RGB", (128, 128), "white")
    image.paste("black", (0, 0, 128, 32))
    rows, masks = call(
        f"{sys.executable} {tmp_path / 'masks.py'} files/net", [image, image.rotate(180)], "masks"
    )
    assert rows == [0, 1] and masks.shape == (2, 256, 256)
    assert masks[0, :60].all() and not masks[0, 70:].any()
    assert masks[1, 200:].all() and not masks[1, :180].any()

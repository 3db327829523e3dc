"""The credited photos as canonical crops, by known landmarks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from facesep.faces.crop import Crop

PHOTOS = Path(__file__).resolve().parents[1] / "data" / "photos"
KNOWN = json.loads((PHOTOS / "landmarks.json").read_text())
SIZE = 128


def points(name: str) -> np.ndarray:
    """Five points in pixels of the photo."""
    return np.array(KNOWN[f"{name}.jpg"]["points"])


def crop_and_label(name: str, crop: Crop | None = None) -> tuple[Image.Image, Image.Image, Crop]:
    """Canonical crop, an ellipse in the face's box as its label map, and the window."""
    photo = Image.open(PHOTOS / f"{name}.jpg").convert("RGB")
    label = Image.new("L", photo.size)
    ImageDraw.Draw(label).ellipse([round(v) for v in KNOWN[f"{name}.jpg"]["box"]], fill=1)
    crop = crop or Crop.from_points(points(name))
    return crop.apply(photo, SIZE), crop.apply(label, SIZE, fill=0, resample=Image.NEAREST), crop


def photo_pair(change: str) -> tuple[np.ndarray, np.ndarray]:
    """A photo and a changed copy, ``float64 [H, W, 3]`` in 0..1."""
    image = np.asarray(crop_and_label("london_101")[0], np.float64) / 255
    if change == "shift":
        return image[:, 3:], image[:, :-3]
    if change == "darker":
        return image, image * 0.7
    noise = np.random.default_rng(0).normal(0, 0.1, image.shape)
    return image, np.clip(image + noise, 0, 1)

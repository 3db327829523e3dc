"""The card of a refiner that stands alone, and what a checkpoint's card says of its own."""

from __future__ import annotations

from collections.abc import Mapping
from string import Template
from typing import Any

from facesep.card import describe_data, describe_origin, front_matter

_CARD = Template("""---
$front_matter
---

# Face refiner

A refiner of facesep (`pip install "facesep[refine]"`): it gives soft renders of faces the detail of
photos. $how

```python
from facesep import FaceSep
from facesep.refine import FaceRefiner

sep = FaceSep.from_pretrained("user/checkpoint")
sep.refiner = FaceRefiner.from_pretrained("user/repo")
sep.render(sep.encode("anna.jpg"), refine=True)
```

$origin
- pictures: $size x $size pixels, aligned as facesep aligns them
- by default: noise level $start, $steps calls of the UNet, eta $eta

## Limits

- The detail is invented. It is not evidence of what somebody looks like.
- Only aligned pictures of faces, of the kind that the networks were trained on.
- Refined pictures must not be used to measure how well a model represents a face.
- Results carry the marks of facesep when they are written by it; many places require them.

## Training data

$data
""")

_WITH = """An estimator proposes a clean picture, noise is added to it, and an unconditional diffusion
network leads it back."""
_WITHOUT = """Noise is added to the render, and an unconditional diffusion network leads it back."""


def make_refiner_card(about: Mapping[str, Any], settings: Mapping[str, Any], size: int) -> str:
    """Markdown with front matter.

    Args:
        about: ``license``, ``summary``, ``data``, ``command``.
        settings: ``steps``, ``start``, ``eta``, and ``estimator``: two names, or None twice without one.
        size: side of the pictures in pixels.
    """
    return _CARD.substitute(
        front_matter=front_matter(about, library="diffusers", tags=("face", "image-restoration", "facesep")),
        origin=describe_origin(about),
        data=describe_data(about.get("data")),
        size=size,
        how=_WITH if any(settings.get("estimator") or ()) else _WITHOUT,
        **{name: settings.get(name) for name in ("start", "steps", "eta")},
    )

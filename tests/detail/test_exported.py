"""Photo detail as one graph: ONNX Runtime gives the picture that torch gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from facesep import FaceSep, Portrait
from facesep.detail.render import picture

PHOTOS = Path(__file__).parents[1] / "data" / "photos"
SIZE = 128


@pytest.mark.slow
def test_the_exported_graph_gives_the_same_picture(tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from facesep.backends.exporter import write
    from facesep.detail.graph import detail_part, inputs_of

    sep = FaceSep.from_pretrained()
    session = runtime.InferenceSession(write(detail_part(sep, SIZE), tmp_path))
    anna, ben = (shrunk(sep.portrait(PHOTOS / f"{name}.jpg")) for name in ("london_099", "gsa_smiling"))
    codes = anna.codes.batch()
    turned = anna.batch().replace(rotation=codes.rotation + torch.tensor([[0.0, 0.3, 0.0]]))
    for edited, donor, shares in (
        (turned.replace(texture=codes.texture * 0.5), anna, (0.0, 0.0)),
        (turned.swap(ben, ["hair", "expression"], 0.5), ben, (0.5, 0.5)),
    ):
        wanted = picture(sep.decoder, sep.landmarks, edited, SIZE)
        given = {"codes": edited.codes.batch().vector()}
        given |= {
            f"{name}_share": torch.full((1, 1, 1, 1), share)
            for name, share in zip(("hair", "mouth"), shares, strict=True)
        }
        given |= inputs_of(anna.base, "base") | inputs_of(donor.base, "donor")
        found = torch.from_numpy(
            session.run(["picture"], {name: one.numpy() for name, one in given.items()})[0]
        )
        difference = (found - torch.cat((wanted.colours, wanted.alpha), 1)).abs()
        difference[:, :3] *= wanted.alpha  # what is not seen does not count
        assert difference.max() <= 1 / 255


def shrunk(portrait: Portrait) -> Portrait:
    fields = ("colours", "matte", "hair")
    small = {name: F.interpolate(getattr(portrait.base, name), (SIZE, SIZE), mode="area") for name in fields}
    return replace(portrait, base=replace(portrait.base, **small))

"""Photo detail as one graph: ONNX Runtime gives the picture that torch gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from facesep import FaceSep
from facesep.detail.render import picture

PHOTO = Path(__file__).parents[1] / "data" / "photos" / "london_099.jpg"
SIZE = 128


@pytest.mark.slow
def test_the_exported_graph_gives_the_same_picture(tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from facesep.backends.exporter import write
    from facesep.detail.graph import detail_part

    sep = FaceSep.from_pretrained()
    session = runtime.InferenceSession(write(detail_part(sep, SIZE), tmp_path))
    anna = sep.portrait(PHOTO)
    fields = ("colours", "matte", "hair")
    small = {name: F.interpolate(getattr(anna.base, name), (SIZE, SIZE), mode="area") for name in fields}
    base = replace(anna.base, **small)
    codes = anna.codes.batch()
    turned = codes.replace(rotation=codes.rotation + torch.tensor([[0.0, 0.3, 0.0]]))
    edited = codes.replace(expression=-codes.expression, texture=codes.texture * 0.5)
    for moved in (turned, edited):
        wanted = picture(sep.decoder, sep.landmarks, replace(anna, base=base, codes=moved), SIZE)
        given = {name: getattr(base, name).numpy() for name in (*fields, "plain", "depth", "opacity")}
        given |= {"own": codes.vector().numpy(), "codes": moved.vector().numpy()}
        found = torch.from_numpy(session.run(["picture"], given)[0])
        difference = (found - torch.cat((wanted.colours, wanted.alpha), 1)).abs()
        difference[:, :3] *= wanted.alpha  # what is not seen does not count
        assert difference.max() <= 1 / 255

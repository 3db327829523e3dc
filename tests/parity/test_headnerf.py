"""The decoder with HeadNeRF's weights and cameras against golden vectors of the official code."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from golden import Golden, normal
from paper_geometry import official_rays

import facesep.nets.field
from facesep.config import DecoderConfig
from facesep.importers.headnerf import planes, to_decoder
from facesep.nets.decoder import Decoder
from facesep.nets.field import Field
from facesep.nets.size import parameters
from facesep.nets.upsampler import blur
from facesep.nets.volume import sample_edges

CAMERAS = ("front", "orbit", "fit", "deep3d")
SIZES = {"headnerf_paper": (576, 107, 0), "headnerf_official": (179, 127, 100)}
"""Lengths of the geometry and the appearance code, and the first seed of the inputs."""


@pytest.fixture(scope="module", params=SIZES)
def case(request):
    golden = Golden(request.param)
    geometry, appearance, seed = SIZES[request.param]
    config = planes(DecoderConfig(image_size=256, hair=False))
    decoder = Decoder(config).eval().requires_grad_(False)
    decoder.field = Field(config, geometry, appearance).requires_grad_(False)
    assert parameters(decoder) == golden.meta["n_learned_elements"]
    decoder.load_state_dict(to_decoder(golden.weights()))
    codes = 0.3 * normal(seed, 1, geometry), 0.3 * normal(seed + 1, 1, appearance)
    return golden, decoder, codes, seed


def camera_rays(golden: Golden, name: str):
    return official_rays(*(golden[f"in.{name}.{part}"][None] for part in ("R", "T", "inv_K")), 32)


def logits(image: torch.Tensor) -> torch.Tensor:
    return torch.logit(image[0].double())


def sliced(image: torch.Tensor, name: str) -> torch.Tensor:
    step = 2 if name == "front" else 4
    return image[0, :, ::step, ::step]


@pytest.mark.parametrize("camera", CAMERAS)
def test_samples_and_field(case, camera):
    golden, decoder, codes, _ = case
    origins, directions = camera_rays(golden, camera)
    directions = directions[:, ::8]
    edges, stretch = sample_edges(decoder.config, origins, directions)
    golden.check(f"{camera}.zvals", edges[0, ::8, :-1])
    golden.check(f"{camera}.z_dists", (edges.diff(dim=-1) * stretch)[0, ::8])
    points = origins[:, :, None] + (directions * stretch)[:, :, None] * edges[..., :-1, None]
    golden.check(f"{camera}.pts", points[0, ::8].permute(2, 0, 1))
    density, hidden = decoder.field(points.flatten(1, 2), decoder.field.folded(*codes))
    golden.check(f"{camera}.density", density.view(128, 64))
    features = decoder.field.features(hidden, torch.ones(hidden.shape[:2])).view(128, 64, 256)
    golden.check(f"{camera}.color_feat", features[::16, :, ::16].permute(2, 0, 1))


@pytest.mark.slow
@pytest.mark.parametrize("camera", CAMERAS)
def test_render(case, camera):
    golden, decoder, codes, _ = case
    origins, directions = camera_rays(golden, camera)
    merged = []
    handle = decoder.upsampler.register_forward_pre_hook(lambda _, inputs: merged.append(inputs[0]))
    rendering = decoder.render_rays(*codes, origins, directions)
    handle.remove()
    golden.check(f"{camera}.merge_featmap", merged[0][0, ::16])
    golden.check(f"{camera}.bg_alpha", 1 - rendering.opacity[0, 0])
    along_z = -directions[0, :, 2].view(32, 32)  # HeadNeRF's depth: along the z axis, not divided by opacity
    golden.check(f"{camera}.depth", (rendering.distance * rendering.opacity)[0, 0] * along_z)
    if camera == "front":
        foreground = merged[0] - (1 - rendering.opacity) * decoder.background
        golden.check("front.fg_feat", foreground[0, ::16])
    golden.check(f"{camera}.img", sliced(rendering.image, camera))
    golden.check(f"{camera}.img_patch", rendering.image[0, :, 100:132, 100:132])
    golden.check(f"{camera}.logits", logits(rendering.image)[:, ::4, ::4])


def test_renderer_layers(case):
    golden, decoder, _, _ = case
    x = decoder.background
    for index, level in enumerate(decoder.upsampler.levels):
        hidden = F.leaky_relu(level.layer_2(F.leaky_relu(level.layer_1(x), 0.2)), 0.2)
        doubled = blur(F.pixel_shuffle(hidden + x.repeat(1, 4, 1, 1), 2))
        pick = lambda t: t.flatten()[[k * (t.numel() - 1) // 15 for k in range(16)]]  # noqa: E731
        golden.check(f"probe.neural_render.feat_upsample_list.{index}", pick(doubled))
        if index == 2:
            golden.check("probe.neural_render.feat_layers.2", pick(level.out(doubled)))
        x = level(x)
        assert torch.allclose(x, F.leaky_relu(level.out(doubled), 0.2), atol=1e-5)
    image = decoder.upsampler(decoder.background)
    golden.check("bg_img", image[0, :, ::4, ::4])
    golden.check("bg_logits", logits(image)[:, ::4, ::4])


def test_field_on_free_inputs(case, monkeypatch):
    """Encodings and codes that vary by sample: every sample is an image of its own."""
    golden, decoder, (geometry, appearance), seed = case
    points = 2 * normal(seed + 4, 1, 63 + geometry.shape[1], 16, 4)[0].flatten(1).T
    colours = 2 * normal(seed + 5, 1, appearance.shape[1], 16, 4)[0].flatten(1).T
    monkeypatch.setattr(facesep.nets.field, "positional_encoding", lambda x, _: x)
    folded = decoder.field.folded(points[:, 63:], colours)
    density, hidden = decoder.field(points[:, None, :63], folded)
    golden.check("mlp.density", density.view(16, 4))
    features = decoder.field.features(hidden, torch.ones(64, 1))[:, 0]
    golden.check("mlp.color_feat", features.T.view(256, 16, 4)[::8])
    assert (density == 0).any()  # the activation clips somewhere
    assert (density > 0).any()


def test_renderer_pitfalls(case, monkeypatch):
    golden, decoder, _, _ = case
    error = lambda: golden.error("bg_img", decoder.upsampler(decoder.background)[0, :, ::4, ::4])  # noqa: E731
    assert error() <= 1
    with monkeypatch.context() as patch:
        patch.setattr(torch.Tensor, "repeat", lambda x, *_: x.repeat_interleave(4, 1))
        assert error() > 1000

    def zero_padded_blur(x):
        kernel = x.new_tensor([0.25, 0.5, 0.25])
        weight = torch.outer(kernel, kernel).expand(x.shape[1], 1, 3, 3)
        return F.conv2d(x, weight, padding=1, groups=x.shape[1])

    with monkeypatch.context() as patch:
        patch.setattr("facesep.nets.upsampler.blur", zero_padded_blur)
        assert error() > 1000


def test_ray_pitfalls(case):
    golden, decoder, _, _ = case
    rotation, origin, inverse = (golden[f"in.orbit.{part}"][None] for part in ("R", "T", "inv_K"))

    def error(inverse, rotation=rotation) -> float:
        origins, directions = official_rays(rotation, origin, inverse, 32)
        edges, stretch = sample_edges(decoder.config, origins, directions)
        points = origins[:, :, None] + (directions * stretch)[:, :, None] * edges[..., :-1, None]
        return golden.error("orbit.pts", points[0, ::64].permute(2, 0, 1))

    assert error(inverse) <= 1
    assert error(inverse, rotation.transpose(1, 2)) > 1000
    centres = torch.tensor([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])  # not the corners of the cells
    assert error(inverse @ centres) > 1000


def test_nothing_is_left_out(case):
    """Every stored result is compared by one of the tests above."""
    by_camera = ("zvals", "z_dists", "pts", "density", "color_feat")  # test_samples_and_field
    by_camera += ("merge_featmap", "bg_alpha", "depth", "img", "img_patch", "logits")  # test_render
    names = {f"{camera}.{name}" for camera in CAMERAS for name in by_camera} | {"front.fg_feat"}
    names |= {"mlp.density", "mlp.color_feat"}  # test_field_on_free_inputs
    names |= {f"probe.neural_render.feat_upsample_list.{i}" for i in range(3)}  # test_renderer_layers
    names |= {"probe.neural_render.feat_layers.2", "bg_img", "bg_logits"}
    assert names == set(case[0].meta["suggested_atol"])

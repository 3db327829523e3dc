"""The paper's encoder, narrow: what each head sees, what trains, and what gradients reach."""

from __future__ import annotations

import pytest
import torch

from facesep.codes import ATTRIBUTES, CODE_SIZES
from facesep.config import EncoderConfig, preset
from facesep.nets.crops import deep3d_crop, projected_points
from facesep.nets.encoder import build_encoder
from facesep.nets.official.bisenet import HAIR
from facesep.nets.official.hair import mask_from_probability
from facesep.precision import multiplies_bfloat16

CONFIG = EncoderConfig(kind="paper", recognition="ir18", width=4)


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return build_encoder(CONFIG).eval()


@pytest.fixture(scope="module")
def image():
    torch.manual_seed(1)
    small = torch.rand(2, 3, 16, 16)
    return torch.nn.functional.interpolate(small, size=(256, 256), mode="bicubic").clamp(0, 1)


@pytest.fixture(scope="module")
def codes(encoder, image):
    with torch.no_grad():
        return encoder(image)


@pytest.fixture
def without_parsing(encoder, monkeypatch):
    """Leaves out the slow hair head where a test is about others."""
    monkeypatch.setattr(encoder.heads["hair"], "forward", lambda image: torch.zeros(len(image), 16))


def test_codes(encoder, image, codes):
    for name, code in codes.items():
        assert code.shape == (2, CODE_SIZES[name])
        assert not torch.allclose(code[0], code[1])
    assert torch.allclose(codes.shape.norm(dim=1), torch.tensor(512.0).sqrt().expand(2))


def test_each_head_is_its_own_network(encoder):
    seen = [p for head in encoder.heads.values() for p in head.parameters()]
    assert len(seen) == len({p.data_ptr() for p in seen}) == len(list(encoder.parameters()))
    assert list(encoder.heads) == list(ATTRIBUTES)


def test_without_points_the_predicted_pose_places_the_crop(encoder, image, codes, without_parsing):
    with torch.no_grad():
        points = projected_points(codes.rotation, codes.translation, 256)
        same, other = encoder(image, points), encoder(image, points + 9)
    assert torch.equal(same.shape, codes.shape)
    assert not torch.allclose(other.shape, codes.shape, atol=1e-2)
    for name in ("expression", "texture", "illumination", "rotation", "translation"):
        assert torch.equal(getattr(other, name), getattr(codes, name))


def test_what_each_head_sees(encoder, image, codes):
    with torch.no_grad():
        assert torch.equal(encoder.heads["texture"](image), codes.texture)
        assert torch.equal(encoder.heads["texture"].net(deep3d_crop(image)), codes.texture)
        hair = encoder.heads["hair"]
        probability = hair.parser.probabilities(image)
        assert torch.allclose(probability.sum(1), torch.ones(2, 512, 512), atol=1e-5)
        mask = mask_from_probability(probability[:, HAIR : HAIR + 1])
        assert torch.equal(hair.net(mask), codes.hair)


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_gradients_reach_the_image(encoder, image, attribute):
    image = image[:1].clone().requires_grad_()
    encoder.zero_grad()
    head = encoder.heads[attribute]
    if attribute == "shape":
        head(image, projected_points(torch.zeros(1, 3), torch.zeros(1, 3), 256))[0, :5].sum().backward()
    else:
        head(image)[0].sum().backward()
    assert image.grad.isfinite().all()
    assert (image.grad.abs().sum(1) > 0).float().mean() > 0.3
    assert all(parameter.grad is not None for parameter in head.parameters())


def test_the_pose_is_not_trained_through_the_crop(encoder, image, without_parsing):
    encoder.zero_grad()
    encoder(image).shape[:, :5].sum().backward()
    assert all(p.grad is None for p in encoder.heads["rotation"].parameters())
    assert all(p.grad is None for p in encoder.heads["translation"].parameters())
    assert next(encoder.heads["shape"].parameters()).grad is not None
    encoder.zero_grad()


def test_the_parser_never_trains():
    encoder = build_encoder(CONFIG).requires_grad_(True)
    encoder.train()
    hair = encoder.heads["hair"]
    assert hair.net.training
    assert not any(module.training for module in hair.parser.modules())
    assert not list(hair.parser.parameters())
    trained = {name for name, _ in hair.named_parameters()}
    fixed = set(hair.state_dict()) - trained
    assert {name.split(".")[0] for name in trained} == {"net"}
    assert {name for name in fixed if not name.startswith("parser.")} == {
        "net.std_out_layer.fc.weight",
        "net.std_out_layer.fc.bias",
    }
    encoder.eval()
    assert not any(module.training for module in encoder.modules())


def test_shape_head_alone_expects_a_frontal_face(encoder, image):
    with torch.no_grad():
        points = projected_points(torch.zeros(2, 3), torch.zeros(2, 3), 256)
        assert torch.equal(encoder.heads["shape"](image), encoder.heads["shape"](image, points))


def test_training_parts_take_it(image):
    """One optimiser per head moves that head alone; averages follow weights and copy counters."""
    optim = pytest.importorskip("facesep.training.optim")
    from facesep.nets.decoder import Decoder
    from facesep.training.config import TrainConfig

    encoder = build_encoder(CONFIG).train()
    average = optim.Average(encoder, 0.5)
    optimisers = optim.build_optimisers(TrainConfig(), Decoder(preset("tiny").decoder), encoder)
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    encoder.heads["rotation"](image).square().sum().backward()
    optimisers["rotation"].step()
    average.update()
    changed = {key for key, value in encoder.state_dict().items() if not torch.equal(value, before[key])}
    assert changed
    assert all(key.startswith("heads.rotation.") for key in changed)
    counter = "heads.rotation.net.backbone.bn1.num_batches_tracked"
    assert average.values[counter] == 1 and before[counter] == 0
    weight = "heads.rotation.net.final_layers.0.weight"
    now = encoder.state_dict()[weight]
    assert not torch.equal(average.values[weight], now)
    assert not torch.equal(average.values[weight], before[weight])


def test_other_precisions(encoder, image, codes):
    half = build_encoder(CONFIG).eval()
    half.load_state_dict(encoder.state_dict())
    # Without instructions for bfloat16 a pass takes minutes.
    half.to(torch.bfloat16 if multiplies_bfloat16() else torch.float64)
    with torch.no_grad():
        rough = half(image)
    for name, code in rough.items():
        assert code.dtype == torch.float32
        reference = getattr(codes, name)
        assert (code - reference).norm() < 0.2 * reference.norm() + 1e-3, name
    assert torch.allclose(rough.shape.norm(dim=1), torch.tensor(512.0).sqrt().expand(2))


def test_hair_masks():
    labels = torch.zeros(1, 8, 8, dtype=torch.long)
    labels[0, :4, :5] = 17
    soft = mask_from_probability((labels == 17)[:, None].float(), 4)
    assert torch.equal(soft[0, 0], torch.tensor([[1.0, 1, 0.5, 0], [1, 1, 0.5, 0], [0] * 4, [0] * 4]))

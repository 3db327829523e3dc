"""The refiner: golden steps through the pipeline itself, settings, files, and its place in a model."""

from __future__ import annotations

import json
import math
import types
from importlib.resources import files

import pytest
import torch
from fakehub import TOKEN
from golden import Golden, normal
from huggingface_hub import ModelCard
from PIL import Image
from tiny_refiner import tiny_refiner, tiny_unet

pytest.importorskip("diffusers")

from diffusers import DDIMScheduler, DDPMPipeline, DDPMScheduler, UNet2DModel

from facesep.checkpoint import verify_checkpoint
from facesep.config import preset
from facesep.errors import CheckpointError, ConfigError, ImageError
from facesep.model import FaceSep
from facesep.nets.official.difface_unet import difface_scheduler
from facesep.refine import FaceRefiner, LayeredUNet, SwinIREstimator

LOOP = Golden("difface_loop")


class Stub(torch.nn.Module):
    """What the golden loop used as its network; remembers the times it is told."""

    def __init__(self, size: int = 8) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(0.1))
        self.config = types.SimpleNamespace(sample_size=size)
        self.told: list[int] = []

    device = property(lambda self: self.weight.device)
    dtype = property(lambda self: self.weight.dtype)

    def forward(self, x, t):
        self.told.append(t)
        return types.SimpleNamespace(sample=torch.cat((self.weight * x, torch.full_like(x, 9.0)), 1))


def stub_refiner(**settings) -> FaceRefiner:
    refiner = FaceRefiner(Stub(), difface_scheduler(), **settings)
    refiner.set_progress_bar_config(disable=True)
    return refiner


def pictures(count: int = 2, size: int = 32) -> torch.Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(5))


# -- exactness --------------------------------------------------------------------------------------


@pytest.mark.parametrize("eta", [0.0, 0.5])
@pytest.mark.parametrize("count", [100, 3])
@torch.no_grad()
def test_golden_loop(eta, count):
    """DifFace's own steps: start level, the time told, unclipped direction, noise."""
    refiner = stub_refiner(steps=100, start=400, eta=0.5, offset=4)
    noised = refiner.add_noise(LOOP["in.x0"], LOOP["in.noise"], 400)
    LOOP.check("q_sample_100", noised)
    x = noised if count == 100 else LOOP["in.noise"]
    noise = iter(normal(72, 100, 1, 3, 8, 8))
    seen = []
    step = refiner._step

    def watched(*arguments):
        seen.append(step(*arguments))
        return seen[-1]

    refiner._step = watched
    times = refiner.times(count, 4 * count)
    assert times == list(range(4 * count - 4, -1, -4))
    final = refiner.denoise(x, times, eta, lambda x: next(noise))
    assert refiner.unet.told == times
    for k in range(3):
        LOOP.check(f"start{count}.eta{eta}.step{k}", seen[k])
    if count == 100:
        LOOP.check(f"start{count}.eta{eta}.final", final)
    else:
        LOOP.check(f"start{count}.eta{eta}.step2", final)


@pytest.mark.parametrize("eta", [0.0, 0.5])
def test_golden_loop_from_picture_to_picture(eta, monkeypatch):
    """The same through ``refine``, with the golden noise in place of the seed's."""
    noise = iter([LOOP["in.noise"], *normal(72, 100, 1, 3, 8, 8)])
    monkeypatch.setattr("facesep.refine.pipeline.noise_like", lambda like, generators: next(noise))
    refiner = stub_refiner(steps=100, start=400, offset=4)
    result = refiner.refine((LOOP["in.x0"] + 1) / 2, eta=eta)
    assert refiner.unet.told == list(range(396, -1, -4))
    expected = LOOP[f"start100.eta{eta}.final"].clamp(-1, 1)
    torch.testing.assert_close(2 * result - 1, expected, rtol=0, atol=2e-5)


def test_steps_agree_with_the_schedulers_own():
    """On an evenly divided chain, for each kind of prediction."""
    for kind in ("epsilon", "sample", "v_prediction"):
        scheduler = DDIMScheduler(prediction_type=kind, clip_sample_range=0.7)
        scheduler.set_timesteps(50)
        refiner = FaceRefiner(Stub(), scheduler)
        x, output, noise = (normal(n, 2, 3, 8, 8) for n in range(3))
        for t, before in ((400, 380), (20, 0)):
            ours = refiner._step(x, output, t, before, 0.6, lambda _, noise=noise: noise)
            theirs = scheduler.step(output, t, x, eta=0.6, variance_noise=noise).prev_sample
            torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-5)
        ours = refiner._step(x, output, 0, None, 0.6, lambda _, noise=noise: noise)
        theirs = scheduler.step(output, 0, x, eta=0.0).prev_sample
        torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-5)


def test_a_perfect_network_gives_the_picture_back():
    """Told the true noise, any number of steps from any level ends at the clean picture."""
    clean = 2 * pictures() - 1

    class Knows(Stub):
        def forward(self, x, t):
            level = self.scheduler.alphas_cumprod[t]
            noise = (x - level.sqrt() * clean) / (1 - level).sqrt()
            return types.SimpleNamespace(sample=noise)

    unet = Knows(32)
    refiner = FaceRefiner(unet, DDIMScheduler())
    refiner.set_progress_bar_config(disable=True)
    unet.scheduler = refiner.scheduler
    for steps, start, eta in ((1, 400, 0.0), (7, 400, 0.5), (13, 900, 1.0), (30, 50, 0.0)):
        result = refiner.refine(pictures(), steps, start, eta)
        assert (result - pictures()).abs().max() < 2e-3, (steps, start, eta)


# -- settings ---------------------------------------------------------------------------------------


def test_times_are_evenly_spaced_below_the_noise_level():
    refiner = stub_refiner(steps=100, start=400, offset=4)
    assert refiner.times(10) == [396, 356, 316, 276, 236, 196, 156, 116, 76, 36]
    assert refiner.times(1) == [396]
    plain = stub_refiner()
    assert plain.times(4) == [400, 300, 200, 100]
    assert plain.times(3, 10) == [10, 7, 3]
    for offset in (-1, 400):
        with pytest.raises(ConfigError, match="offset"):
            stub_refiner(offset=offset)
    for steps, start in ((0, 400), (101, 400), (2.0, 400), (True, 400), (1, 0), (1, 1000), (5, "400")):
        with pytest.raises(ConfigError, match="whole number"):
            refiner.times(steps, start)


def test_results_repeat_and_do_not_depend_on_the_batch():
    refiner = tiny_refiner(eta=0.7)
    batch = pictures(3)
    result = refiner.refine(batch)
    assert result.shape == batch.shape and result.min() >= 0 and result.max() <= 1
    torch.testing.assert_close(refiner.refine(batch), result, rtol=0, atol=0)
    torch.testing.assert_close(refiner.refine(batch[1]), result[1], rtol=0, atol=1e-5)
    other = refiner.refine(batch, seed=1)
    assert (other - result).abs().max() > 1e-2
    mixed = refiner.refine(batch, seed=[1, 0, 1])
    torch.testing.assert_close(mixed, torch.stack((other[0], result[1], other[2])), rtol=0, atol=1e-5)
    same = refiner.refine(batch[:1].expand(2, -1, -1, -1))
    torch.testing.assert_close(same[0], same[1], rtol=0, atol=1e-5)
    calls = []
    refiner.refine(batch, steps=5, on_step=lambda done, total: calls.append((done, total)))
    assert calls == [(k, 5) for k in range(1, 6)]


def test_pictures_come_back_as_they_were_given():
    refiner = tiny_refiner()
    image = Image.new("RGB", (48, 48), (200, 150, 120))
    assert refiner.refine(image).size == (48, 48)
    first, second = refiner([image, image])
    assert first.tobytes() == second.tobytes()
    assert refiner.refine(torch.rand(3, 20, 20)).shape == (3, 20, 20)
    with pytest.raises(ImageError, match="square"):
        refiner.refine(Image.new("RGB", (48, 40)))
    with pytest.raises(ImageError, match="one size"):
        refiner.refine([image, Image.new("RGB", (40, 40))])
    for wrong in (torch.rand(4, 32, 32), torch.full((3, 32, 32), 1.5), torch.full((3, 32, 32), math.nan), []):
        with pytest.raises(ImageError):
            refiner.refine(wrong)
    for options in ({"eta": 2.0}, {"eta": "1"}, {"seed": -1}, {"seed": [1, 2]}, {"seed": 0.5}, {"steps": -1}):
        with pytest.raises(ConfigError):
            refiner.refine(image, **options)


def test_the_estimator_is_what_noise_is_added_to():
    """At the lowest level almost nothing happens but the estimate."""
    refiner = tiny_refiner()
    refiner.unet = Stub(32)
    batch = pictures()
    estimate = refiner.estimator(batch).clamp(0, 1)
    assert (estimate - batch).abs().mean() > 0.01
    assert (refiner.refine(batch, 1, 1) - estimate).abs().mean() < 0.02


def test_no_steps_give_what_the_estimator_proposes():
    refiner = tiny_refiner()
    batch = pictures(2)
    with torch.no_grad():
        proposed = refiner.estimator(batch).clamp(0, 1)
    torch.testing.assert_close(refiner.refine(batch, steps=0), proposed)
    with pytest.raises(ConfigError, match="estimator"):
        stub_refiner().refine(batch, steps=0)
    with pytest.raises(ConfigError, match="whole number"):
        refiner.refine(batch, steps=False)


def test_the_cost_is_measured():
    refiner = tiny_refiner()
    assert refiner.seconds(1) > 0 and 0 < refiner.seconds(50) < 60


# -- files ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layered", [False, True])
def test_save_and_load(tmp_path, layered):
    refiner = tiny_refiner(layered=layered, start=300, eta=0.25)
    refiner.about = {"license": "cc0-1.0", "summary": "Tiny."}
    refiner.save_pretrained(tmp_path / "refiner")
    again = FaceRefiner.from_pretrained(tmp_path / "refiner")
    again.set_progress_bar_config(disable=True)
    assert again.about == refiner.about
    torch.testing.assert_close(again.refine(pictures()), refiner.refine(pictures()), rtol=0, atol=0)
    names = {path.relative_to(tmp_path / "refiner").as_posix() for path in tmp_path.rglob("*.*")}
    assert "unet/diffusion_pytorch_model.safetensors" in names and "scheduler/scheduler_config.json" in names
    texts = [path.read_text() for path in tmp_path.rglob("*.json")]
    assert not any(str(tmp_path) in text for text in texts), "a path of this machine is in the files"
    again.save_pretrained(tmp_path / "again")
    for path in (tmp_path / "refiner").rglob("*.safetensors"):
        assert path.read_bytes() == (tmp_path / "again" / path.relative_to(tmp_path / "refiner")).read_bytes()
    assert not any(str(tmp_path) in path.read_text() for path in (tmp_path / "again").rglob("*.json"))
    assert 'license: "cc0-1.0"' in (tmp_path / "refiner" / "README.md").read_text()
    # diffusers itself reads the parts
    kind = LayeredUNet if layered else UNet2DModel
    unet = kind.from_pretrained(tmp_path / "refiner", subfolder="unet").eval()
    x = normal(1, 1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(unet(x, 5).sample, refiner.unet(x, 5).sample, rtol=0, atol=1e-5)
    estimator = SwinIREstimator.from_pretrained(tmp_path / "refiner", subfolder="estimator")
    assert estimator.config.window == 2


def test_uneven_levels_have_fewer_layers():
    count = [len(block.resnets) for block in tiny_unet(layered=True).down_blocks]
    assert count == [1, 2]
    with pytest.raises(CheckpointError, match="layers_per_level"):
        LayeredUNet([1, 2, 3], block_out_channels=(8, 16))


def damaged(folder, change):
    """A saved refiner with one file changed."""
    tiny_refiner(estimator=False).save_pretrained(folder)
    change(folder)
    return folder


def edit(name, **values):
    def change(folder):
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return change


def add_pickle(folder):
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "model_index.json").unlink(), "holds no refiner"),
        (lambda f: (f / "unet" / "config.json").unlink(), "missing"),
        (add_pickle, "pickle"),
        (edit("unet/config.json", _class_name="UNet2DConditionModel"), "not an unconditional"),
        (edit("unet/config.json", block_out_channels=[8, 24]), "fit|damaged"),
        (edit("unet/config.json", layers_per_block=2), "[Mm]issing key|size mismatch"),
        (edit("unet/config.json", num_class_embeds=5, class_embed_type=None), "class label|[Mm]issing key"),
        (edit("unet/config.json", in_channels=4), "fit|damaged|RGB"),
        (edit("scheduler/scheduler_config.json", _class_name="LCMScheduler"), "LCMScheduler"),
        (edit("scheduler/scheduler_config.json", beta_schedule="no such"), "noise schedule"),
        (edit("model_index.json", steps="many"), "steps"),
        (edit("model_index.json", steps=4000), "settings do not fit"),
        (
            lambda f: (f / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"x" * 99),
            "damaged",
        ),
    ],
)  # fmt: skip
def test_damaged_refiners_are_refused(tmp_path, change, message):
    with pytest.raises(CheckpointError, match=message):
        FaceRefiner.from_pretrained(damaged(tmp_path / "refiner", change))


def test_classes_are_not_chosen_by_a_file(tmp_path):
    """The index may name anything; nothing is imported for it."""
    change = edit("model_index.json", unet=["antigravity", "This"], _class_name="Other")
    assert FaceRefiner.from_pretrained(damaged(tmp_path / "refiner", change)).unet is not None


def test_any_unconditional_model_works(tmp_path):
    DDPMPipeline(tiny_unet(), DDPMScheduler(beta_schedule="squaredcos_cap_v2")).save_pretrained(
        tmp_path / "a"
    )
    refiner = FaceRefiner.from_unet(tmp_path / "a", steps=2, start=200)
    refiner.set_progress_bar_config(disable=True)
    assert refiner.estimator is None and refiner.times() == [200, 100]
    expected = DDPMScheduler(beta_schedule="squaredcos_cap_v2").alphas_cumprod
    torch.testing.assert_close(refiner.scheduler.alphas_cumprod, expected)
    assert refiner.refine(pictures()).shape == (2, 3, 32, 32)
    tiny_unet().save_pretrained(tmp_path / "bare")
    with pytest.raises(CheckpointError, match="scheduler_config.json is missing"):
        FaceRefiner.from_unet(tmp_path / "bare")
    DDPMScheduler().save_pretrained(tmp_path / "bare")
    assert FaceRefiner.from_unet(tmp_path / "bare").unet.config.sample_size == 32
    with pytest.raises(CheckpointError, match="settings do not fit"):
        FaceRefiner.from_unet(tmp_path / "bare", steps=500, start=400)
    with pytest.raises(ConfigError):
        FaceRefiner.from_unet("no/such/folder")


def test_push_and_pull(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    refiner = tiny_refiner()
    refiner.push_to_hub("ada/refiner")
    assert (
        "unet/diffusion_pytorch_model.safetensors"
        in hub.repos["ada/refiner"].commits[hub.repos["ada/refiner"].find("main")]
    )
    again = FaceRefiner.from_pretrained("ada/refiner")
    again.set_progress_bar_config(disable=True)
    torch.testing.assert_close(again.refine(pictures()), refiner.refine(pictures()), rtol=0, atol=0)
    assert FaceRefiner.from_unet("ada/refiner@main", steps=1).estimator is None


def test_the_card_holds_what_is_known():
    refiner = tiny_refiner(start=300)
    refiner.about = {"license": "cc0-1.0", "summary": "Made of <b>`x`", "data": [{"name": "P", "images": 9}]}
    card = refiner.model_card()
    data = ModelCard(card).data
    assert (data.license, data.library_name) == ("cc0-1.0", "diffusers")
    assert "noise level 300, 3 calls" in card and "| P | 9 |" in card and "<b>" not in card
    assert (
        "$" not in card
        and "licence of the weights: not recorded" in FaceRefiner(Stub(), DDIMScheduler()).model_card()
    )


# -- in a model -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sep() -> FaceSep:
    torch.manual_seed(0)
    sep = FaceSep(preset("tiny"))
    sep.refiner = tiny_refiner(eta=0.5)
    return sep


@pytest.fixture(scope="module")
def codes(sep):
    return sep.encode(pictures(2, sep.image_size), aligned=True)


def test_render_refines(sep, codes):
    plain = sep.render(codes, output="tensor")
    refined = sep.render(codes, output="tensor", refine=True)
    torch.testing.assert_close(refined, sep.refiner.refine(plain), rtol=0, atol=0)
    assert (refined - plain).abs().max() > 1e-2
    one = sep.render(codes[0], output="tensor", refine={"steps": 1, "seed": 4})
    torch.testing.assert_close(one, sep.refiner.refine(plain[0], steps=1, seed=4), rtol=0, atol=1e-5)
    assert sep.render(codes[0], refine=True).size == (sep.image_size,) * 2
    for wrong in ({"speed": 1}, "yes", 1.0):
        with pytest.raises(ConfigError, match="refine must be"):
            sep.render(codes[0], refine=wrong)


def test_orbit_shares_the_noise(sep, codes):
    frames = list(sep.orbit(codes[0], frames=3, refine=True))
    plain = list(sep.orbit(codes[0], frames=3))
    for frame, picture in zip(frames, plain, strict=True):
        expected = sep.refiner.refine(picture)
        worst = max(abs(a - b) for a, b in zip(frame.tobytes(), expected.tobytes(), strict=True))
        assert worst <= 3  # the render was rounded to 8 bits for this comparison
    with pytest.raises(ConfigError, match="share one seed"):
        sep.orbit(codes[0], frames=3, refine={"seed": [1, 2, 3]})


def test_without_a_refiner_the_message_says_how_to_get_one(codes, hub):
    bare = FaceSep(preset("tiny"))
    assert not bare.has_refiner
    for call in (lambda: bare.render(codes[0], refine=True), lambda: bare.orbit(codes[0], refine=True)):
        with pytest.raises(ConfigError, match=r"FaceRefiner\.from_pretrained.*docs/refinement\.md"):
            call()
    assert hub.log == []  # and nothing was fetched


def test_a_checkpoint_keeps_its_refiner(sep, codes, tmp_path):
    sep.save_pretrained(tmp_path / "one")
    verify_checkpoint(tmp_path / "one")
    assert "This checkpoint has a refiner" in (tmp_path / "one" / "README.md").read_text()
    again = FaceSep.from_pretrained(tmp_path / "one")
    assert again.has_refiner and again._refiner is None  # loaded at its first use
    again.save_pretrained(tmp_path / "two")  # copied, without diffusers
    expected = sep.render(codes, output="tensor", refine=True)
    for folder in ("one", "two"):
        loaded = FaceSep.from_pretrained(tmp_path / folder)
        torch.testing.assert_close(loaded.render(codes, output="tensor", refine=True), expected)
    alone = FaceRefiner.from_pretrained(tmp_path / "one")
    assert alone.config.eta == 0.5
    weights = tmp_path / "two" / "refiner" / "unet" / "diffusion_pytorch_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    with pytest.raises(CheckpointError, match="not the file that was published"):
        FaceSep.from_pretrained(tmp_path / "two").refiner  # noqa: B018
    FaceSep(preset("tiny")).save_pretrained(tmp_path / "bare")
    with pytest.raises(CheckpointError, match="no refiner"):
        FaceRefiner.from_pretrained(tmp_path / "bare")


def test_the_bundled_checkpoint_has_one():
    sep = FaceSep.from_pretrained()
    assert sep.has_refiner and sep.refiner.unet.config.sample_size == sep.image_size
    face = sep.encode(str(files("facesep") / "assets" / "examples" / "london_016.jpg"))
    plain, refined = (sep.render(face, output="tensor", refine=refine) for refine in (False, True))
    detail = [float((x[:, 1:] - x[:, :-1]).abs().mean()) for x in (plain, refined)]
    assert detail[1] > 1.1 * detail[0]
    coarse = [torch.nn.functional.avg_pool2d(x, 8) for x in (plain, refined)]
    assert (coarse[0] - coarse[1]).abs().mean() < 0.015  # eyes, mouth and colours stay where they are
    with pytest.raises(ConfigError, match="no estimator"):
        sep.render(face, refine={"steps": 0})


def test_a_checkpoint_with_a_refiner_travels(sep, codes, hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    sep.push_to_hub("ada/face")
    pulled = FaceSep.from_pretrained("ada/face")
    expected = sep.render(codes[0], output="tensor", refine=True)
    torch.testing.assert_close(pulled.render(codes[0], output="tensor", refine=True), expected)

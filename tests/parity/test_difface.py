"""DifFace's diffusion network, schedule and steps against golden vectors of the official code."""

from __future__ import annotations

import pytest
import torch
from golden import Golden, normal

pytest.importorskip("diffusers")

from facesep.nets.official.difface_unet import build_unet, convert_unet, difface_scheduler, key_map
from facesep.nets.size import parameters

LOOP = Golden("difface_loop")


@pytest.mark.slow
def test_unet():
    golden = Golden("difface_unet")
    with torch.device("meta"):
        net = build_unet()
    assert parameters(net) == golden.meta["n_learned_elements"]
    net.load_state_dict(convert_unet(golden.weights()), assign=True)
    net.eval()
    names = key_map() | {"time_embed": "time_embedding", "middle_block": "mid_block"}
    modules = dict(net.named_modules())
    golden.probes(net, lambda name: probe_module(name, names, modules))
    with torch.no_grad():
        out = net(normal(60, 1, 3, 512, 512), torch.tensor([396])).sample
    golden.check("out", out[0, :, ::8, ::8])
    golden.check("out_patch", out[0, :, 240:272, 240:272])
    golden.check_all_done()


def probe_module(name: str, names: dict[str, str], modules: dict[str, torch.nn.Module]) -> str:
    """The module of ours that ends an official block: an up- or downsampling, attention or residual."""
    ends = ("", ".2.conv", ".1.conv", ".0.op", ".1", ".0")
    return next(names[name + e] for e in ends if names.get(name + e) in modules)


def stub(x: torch.Tensor) -> torch.Tensor:
    return 0.1 * x


def test_schedule():
    scheduler = difface_scheduler()
    maps = LOOP.meta["timestep_map"]
    assert sorted(scheduler.timesteps.tolist()) == maps["ddim250"] != maps["250 (NOT used)"]
    for step in LOOP.meta["steps"]["eta0.5"]:
        t = step["model_t"]
        assert scheduler.alphas_cumprod[t].item() == pytest.approx(step["alpha_bar"], rel=1e-5)
        if t:
            assert scheduler.alphas_cumprod[t - 4].item() == pytest.approx(step["alpha_bar_prev"], rel=1e-5)
            sigma = 0.5 * scheduler._get_variance(t, t - 4).item() ** 0.5
            assert sigma == pytest.approx(step["sigma"], rel=1e-3)


@pytest.mark.parametrize("eta", [0.0, 0.5])
@pytest.mark.parametrize("count", [100, 3])
def test_steps(eta, count):
    scheduler = difface_scheduler()
    noised = scheduler.add_noise(LOOP["in.x0"], LOOP["in.noise"], torch.tensor([400]))
    LOOP.check("q_sample_100", noised)
    x = noised if count == 100 else LOOP["in.noise"]
    noise = normal(72, 100, 1, 3, 8, 8)
    name = f"start{count}.eta{eta}"
    for k, t in enumerate(scheduler.timesteps[-count:]):
        before = x
        result = scheduler.step(stub(x), t, x, eta=eta, variance_noise=noise[k])
        x = result.prev_sample
        if k < 3:
            LOOP.check(f"{name}.step{k}", x)
            LOOP.check(f"{name}.x0_{k}", result.pred_original_sample)
        if k == 0:  # wrong on purpose: the noise derived again from the clipped image
            wrong = scheduler.step(
                stub(before), t, before, eta=eta, variance_noise=noise[k], use_clipped_model_output=True
            )
            assert LOOP.error(f"{name}.step0", wrong.prev_sample) > 1000
    if count == 100:
        LOOP.check(f"{name}.final", x)


def test_time_embedding():
    from diffusers.models.embeddings import get_timestep_embedding

    golden = Golden("posenc")
    embed = lambda flip: get_timestep_embedding(  # noqa: E731
        golden["in.timesteps"], 32, flip_sin_to_cos=flip, downscale_freq_shift=0
    )
    golden.check("difface_time_embedding", embed(True))
    assert golden.error("difface_time_embedding", embed(False)) > 100

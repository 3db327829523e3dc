"""The reverse chain: which times the network is told, and one step of DDIM.

The scheduler's own ``step`` knows chains that divide the training chain evenly, and no others; a refiner
takes any number of steps from any level, so the step is written out here.
"""

from __future__ import annotations

from collections.abc import Callable

from diffusers import DDIMScheduler
from torch import Tensor

from facesep.errors import ConfigError


def spaced_times(start: int, steps: int, offset: int = 0) -> list[int]:
    """The times that the network is told, from the noisiest on, evenly spaced.

    Args:
        start: the noise level.
        steps: how many.
        offset: how much smaller the first time is than the noise level.

    Raises:
        ConfigError: if there are not so many.
    """
    if not 0 <= offset < start:
        raise ConfigError(f"offset={offset} must be from 0 to below start={start}")
    most = start // max(offset, 1)
    if isinstance(steps, bool) or not isinstance(steps, int) or not 1 <= steps <= most:
        raise ConfigError(f"steps must be a whole number from 1 to {most} at start={start}, got {steps!r}")
    return [round(start - offset - k * start / steps) for k in range(steps)]


def ddim_step(
    scheduler: DDIMScheduler,
    x: Tensor,
    output: Tensor,
    t: int,
    before: int | None,
    eta: float,
    draw: Callable[[Tensor], Tensor],
) -> Tensor:
    """One step back, Eq. 12 of DDIM (Song et al., 2021).

    The clipped picture enters the mean alone; the direction keeps the network's raw noise.

    Args:
        scheduler: noise levels, kind of prediction, clipping.
        x: ``Tensor[B, 3, S, S]`` at time ``t``.
        output: what the network says of it.
        t: the time.
        before: the time to go to; None for the clean picture, which gets no noise.
        eta: share of fresh noise.
        draw: standard normal noise like its argument.

    Returns:
        ``Tensor[B, 3, S, S]`` at time ``before``.
    """
    config = scheduler.config
    now = scheduler.alphas_cumprod[t].to(x)
    later = (scheduler.final_alpha_cumprod if before is None else scheduler.alphas_cumprod[before]).to(x)
    if config.prediction_type == "epsilon":
        clean, noise = (x - (1 - now).sqrt() * output) / now.sqrt(), output
    elif config.prediction_type == "v_prediction":
        clean = now.sqrt() * x - (1 - now).sqrt() * output
        noise = now.sqrt() * output + (1 - now).sqrt() * x
    else:
        clean, noise = output, (x - now.sqrt() * output) / (1 - now).sqrt()
    if config.clip_sample:
        clean = clean.clamp(-config.clip_sample_range, config.clip_sample_range)
    if before is None:
        return later.sqrt() * clean + (1 - later).sqrt() * noise
    sigma = eta * ((1 - later) / (1 - now)).sqrt() * (1 - now / later).sqrt()
    x = later.sqrt() * clean + (1 - later - sigma**2).sqrt() * noise
    return x + sigma * draw(x) if eta else x

"""The refiner: estimate, add noise, denoise (DifFace; Sec. 3.4 of the paper) as a diffusers pipeline."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler, UNet2DModel
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from torch import Tensor

from facesep import checks
from facesep.errors import CheckpointError, ConfigError
from facesep.hub import Pretrained, resolve
from facesep.refine.card import make_refiner_card
from facesep.refine.chain import ddim_step, spaced_times
from facesep.refine.files import read_refiner, read_unet, write_refiner
from facesep.refine.networks import SwinIREstimator
from facesep.refine.pictures import Images, generators_of, noise_like, resized, to_batch


class FaceRefiner(Pretrained, DiffusionPipeline):
    """Puts the detail of photos into soft pictures of faces.

    An estimator proposes a clean picture ``x0``; noise takes it up to the level ``start``,

        x = sqrt(abar[start]) * x0 + sqrt(1 - abar[start]) * noise

    and an unconditional diffusion network leads it back in ``steps`` DDIM steps. The more noise, the more
    detail is invented and the less is kept of the face.

    Examples:
        >>> refiner = FaceRefiner.from_pretrained("user/refiner")  # doctest: +SKIP
        >>> refiner.refine(sep.render(codes), steps=10)  # doctest: +SKIP

    Args:
        unet: noisy RGB in [-1, 1] and a time to the noise (further channels are ignored).
        scheduler: its noise schedule; only the schedule, the kind of prediction and the clipping are read.
        estimator: RGB in [0, 1] to the same; None takes the picture as it is.
        steps: calls of the UNet, unless ``refine`` says otherwise.
        start: the noise level, in steps of the training chain.
        eta: 0 draws noise only once, 1 as much as DDPM.
        offset: the UNet is told a time that is this much smaller than the noise level, so that the last
            of ``start / offset`` steps is told 0. DifFace's 250-step chain has 4.
        about: where the weights come from: ``license``, ``summary``, ``data``, ``command``, as in a
            checkpoint's ``train_config.json``.
    """

    model_cpu_offload_seq = "estimator->unet"
    _optional_components = ["estimator"]

    def __init__(
        self,
        unet: UNet2DModel,
        scheduler: DDIMScheduler,
        estimator: SwinIREstimator | None = None,
        steps: int = 10,
        start: int = 400,
        eta: float = 0.5,
        offset: int = 0,
        about: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.register_modules(unet=unet, scheduler=scheduler, estimator=estimator)
        self.register_to_config(steps=steps, start=start, eta=eta, offset=offset)
        self.about = dict(about or {})
        for module in (unet, estimator):
            if isinstance(module, torch.nn.Module):
                module.eval().requires_grad_(False)
        self.times(steps, start)

    # -- refinement ---------------------------------------------------------------------------------

    @torch.no_grad()
    def refine(
        self,
        images: Images,
        steps: int | None = None,
        start: int | None = None,
        eta: float | None = None,
        seed: int | Sequence[int] = 0,
        on_step: Callable[[int, int], object] | None = None,
    ) -> Images:
        """Refines aligned pictures of faces.

        A result depends on its own picture and seed alone, not on the others of a batch, and pictures of
        one seed get the same noise. Frames of a video must share a seed: other noise in every frame flickers.

        Args:
            images: a picture, a list of pictures, ``Tensor[3, S, S]`` or ``Tensor[B, 3, S, S]`` in [0, 1].
                Other sizes than the network's are scaled there and back.
            steps: calls of the UNet; 0 gives what the estimator proposes, without invented detail.
            start: the noise level, 1 to the length of the training chain.
            eta: 0 to 1.
            seed: one for all pictures, or one for each.
            on_step: called with the number of UNet calls done and their total.

        Returns:
            The same kind as ``images``, of the same size.

        Raises:
            ConfigError: for settings out of range, or no steps without an estimator.
            ImageError: for something that is no picture, or not square.
        """
        batch, back = to_batch(images)
        proposal = steps is not None and checks.whole(steps, "steps", 0, None) == 0
        if proposal and self.estimator is None:
            raise ConfigError("this refiner has no estimator: steps must be at least 1")
        times = self.times(None if proposal else steps, start)
        eta = self.config.eta if eta is None else eta
        eta = checks.number(eta, "eta", 0, 1)
        if on_step is not None and not callable(on_step):
            raise ConfigError(f"on_step must be a function, got {checks.shown(on_step)}")
        generators = generators_of(seed, len(batch))
        size, device = _size(self.unet), self.unet.device
        clean = resized(batch.to(device, torch.float32), size)
        if self.estimator is not None:
            clean = self.estimator(clean.to(self.estimator.dtype)).float().clamp(0, 1)
        if not proposal:
            noisy = self.add_noise(2 * clean - 1, noise_like(clean, generators), self._start(start))
            result = self.denoise(noisy, times, eta, lambda x: noise_like(x, generators), on_step)
            clean = ((result + 1) / 2).clamp(0, 1)
        return back(resized(clean, batch.shape[-1]).clamp(0, 1).to(batch.device))

    __call__ = refine

    def times(self, steps: int | None = None, start: int | None = None) -> list[int]:
        """The times that the UNet is told, from the noisiest on, evenly spaced.

        Raises:
            ConfigError: for a level outside the training chain, or more steps than there are.
        """
        start, steps = self._start(start), self.config.steps if steps is None else steps
        return spaced_times(start, steps, self.config.offset)

    def _start(self, start: int | None) -> int:
        start = self.config.start if start is None else start
        return checks.whole(start, "start", 1, len(self.scheduler.alphas_cumprod) - 1)

    def add_noise(self, clean: Tensor, noise: Tensor, start: int) -> Tensor:
        """Takes ``Tensor[B, 3, S, S]`` in [-1, 1] up to the noise level ``start``."""
        level = torch.full((len(clean),), start, device=clean.device)
        return self.scheduler.add_noise(clean, noise, level)

    def denoise(
        self,
        noisy: Tensor,
        times: Sequence[int],
        eta: float,
        draw: Callable[[Tensor], Tensor],
        on_step: Callable[[int, int], object] | None = None,
    ) -> Tensor:
        """Runs the chain backwards (DDIM).

        Args:
            noisy: ``Tensor[B, 3, S, S]`` at the first noise level.
            times: what ``times`` returned.
            eta: share of fresh noise.
            draw: standard normal noise like its argument; called once in every step with ``eta`` > 0 but
                the last.
            on_step: called with the number of UNet calls done and their total.

        Returns:
            ``Tensor[B, 3, S, S]``, clean.
        """
        x = noisy
        with self.progress_bar(total=len(times)) as bar:
            for k, t in enumerate(times):
                output = self.unet(x.to(self.unet.dtype), t).sample[:, : x.shape[1]].float()
                before = times[k + 1] if k + 1 < len(times) else None
                x = self._step(x, output, t, before, eta, draw)
                bar.update()
                if on_step is not None:
                    on_step(k + 1, len(times))
        return x

    def _step(self, *arguments: Any) -> Tensor:
        return ddim_step(self.scheduler, *arguments)

    def seconds(self, steps: int | None = None) -> float:
        """How long one picture takes on this machine, measured: the estimator, and two UNet calls."""
        size, calls = _size(self.unet), len(self.times(steps))
        disabled = dict(getattr(self, "_progress_bar_config", {}))
        self.set_progress_bar_config(disable=True)
        try:
            clock = [time.perf_counter()]
            picture = torch.full((3, size, size), 0.5)
            self.refine(picture, 2 if calls > 1 else 1, on_step=lambda *_: clock.append(time.perf_counter()))
        finally:
            self.set_progress_bar_config(**disabled)
        # The first call also pays for warming up: later ones are like the last.
        return clock[1] - clock[0] + (calls - 1) * (clock[-1] - clock[-2])

    # -- files --------------------------------------------------------------------------------------

    @classmethod
    def _load(cls, folder: Path, *, device: str | torch.device = "cpu") -> FaceRefiner:
        """Reads a refiner strictly: its own folder, or a checkpoint that has one."""
        parts, settings, about = read_refiner(folder)
        return _built(cls, **parts, **settings, about=about).to(device)

    def _save_pretrained(self, save_directory: Path) -> None:
        """Writes the refiner in diffusers' layout, with its card."""
        write_refiner(self, save_directory, functools.partial(DiffusionPipeline.save_pretrained, self))

    @classmethod
    def from_unet(
        cls,
        name: str | Path,
        *,
        estimator: SwinIREstimator | None = None,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        device: str | torch.device = "cpu",
        **settings: Any,
    ) -> FaceRefiner:
        """Builds a refiner around any unconditional ``UNet2DModel`` that generates faces.

        Args:
            name: a folder or repository ``user/repo[@revision]`` in diffusers' layout: a DDPM or DDIM
                pipeline, or a bare model with ``scheduler_config.json`` beside it.
            estimator: what to run before it; none by default.
            revision: branch, tag or commit.
            token: Hub token.
            cache_dir: where downloads are kept.
            force_download: download even if the cache has the files.
            local_files_only: use the cache alone.
            device: such as ``cuda``.
            **settings: ``steps``, ``start``, ``eta``.

        Raises:
            CheckpointError: if there is no such network, or it is damaged, unsafe or of another kind.
        """
        folder = resolve(
            name,
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            force_download=force_download,
            local_files_only=local_files_only,
        )
        unet, scheduler = read_unet(folder)
        return _built(cls, unet=unet, scheduler=scheduler, estimator=estimator, **settings).to(device)

    def model_card(self) -> str:
        """Text of the refiner's card."""
        return make_refiner_card(self.about, dict(self.config), _size(self.unet))


def _built(cls: type[FaceRefiner], **arguments: Any) -> FaceRefiner:
    try:
        return cls(**arguments)
    except ConfigError as error:
        raise CheckpointError(f"the refiner's settings do not fit its networks: {error}") from error


def _size(unet: torch.nn.Module) -> int:
    """Side of the network's pictures in pixels."""
    size = unet.config.sample_size
    return size if isinstance(size, int) else size[0]

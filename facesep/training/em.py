"""The alternating training (Sec. 3.2 and 3.3 of the paper): phases D and E, and a joint phase.

Every step draws its randomness from (seed, phase, step) alone, so a resumed run repeats the numbers of
one that was never stopped.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from pathlib import Path

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn

from facesep.codes import ATTRIBUTES, Codes
from facesep.config import to_dict
from facesep.errors import CheckpointError, ConfigError
from facesep.nets.decoder import Decoder, Rendering
from facesep.nets.encoder import build_encoder
from facesep.training.augment import warp_pose
from facesep.training.checkpoint import load_state, optimiser_tensors, restore_optimisers, save_state
from facesep.training.codebook import CodeBook
from facesep.training.config import Phase, TrainConfig
from facesep.training.dataset import Batch, TrainingSet
from facesep.training.losses import (
    codes_loss,
    cosine_distance,
    depth_loss,
    edges_loss,
    identity_loss,
    opacity_loss,
    perceptual_loss,
    pixel_loss,
    scaled_distance,
    swap_targets,
)
from facesep.training.optim import Average, build_optimisers, cosine_rate

Terms = dict[str, Tensor]


class Trainer:
    """Holds decoder, encoder, code book and optimisers, and runs the schedule.

    Args:
        config: the run.
        data: training photos with labels.
        out: folder for checkpoints and logs.
        perceptual: network with ``taps``; None leaves L_perc out.
        recogniser: network with ``embed(image, points)``; None leaves L_id out.
        accelerator: device and precision.
    """

    def __init__(
        self,
        config: TrainConfig,
        data: TrainingSet,
        out: str | Path,
        perceptual: nn.Module | None = None,
        recogniser: nn.Module | None = None,
        accelerator: Accelerator | None = None,
    ) -> None:
        self.config, self.data, self.out = config, data, Path(out)
        self.accelerator = accelerator or Accelerator(mixed_precision="bf16" if config.bf16 else "no")
        if self.accelerator.num_processes > 1:
            raise ConfigError("this version trains in one process: start it with --num_processes 1")
        self.device = self.accelerator.device
        self.out.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(config.seed)
        model = config.model_config()
        self.decoder = Decoder(model.decoder).to(self.device)
        # In evaluation mode: a code must not depend on the other photos of a batch, and photos and renders
        # meet the same statistics, those of the pretrained heads.
        self.encoder = build_encoder(model.encoder).to(self.device).eval()
        self.perceptual = perceptual.to(self.device) if perceptual is not None else None
        self.recogniser = recogniser.to(self.device) if recogniser is not None else None
        self.distance = cosine_distance if config.distance == "cosine" else scaled_distance
        self.optimisers = build_optimisers(config, self.decoder, self.encoder)
        self.averages = {
            "decoder": Average(self.decoder, config.ema),
            "encoder": Average(self.encoder, config.ema),
        }
        self.phase, self.step, self.skipped = 0, 0, 0
        self.saved_at = time.monotonic()
        self.totals: dict[str, list[float]] = defaultdict(list)
        self.book: CodeBook
        self.start: Tensor  # L_reg's z^0: the codes at the beginning of the phase

    # -- state --------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Starts a new run from the present weights; the code book holds the labels."""
        self.book = CodeBook(self.out / "codebook", len(self.data))
        self.book.write(torch.arange(len(self.data)), self.data.codes)
        self.start = self.data.codes.vector().clone()
        for average in self.averages.values():
            average.restart()  # from weights that were loaded since

    def save(self) -> None:
        """Writes the training state to ``out/state``."""
        self.book.flush()
        groups = {
            "decoder": self.decoder.state_dict(),
            "encoder": self.encoder.state_dict(),
            "decoder_ema": self.averages["decoder"].values,
            "encoder_ema": self.averages["encoder"].values,
            "optimisers": optimiser_tensors(self.optimisers),
            "codebook": {name: torch.from_numpy(a.copy()) for name, a in self.book._arrays.items()},
            "phase": {"start": self.start},
        }
        progress = {
            "phase": self.phase,
            "step": self.step,
            "skipped": self.skipped,
            "ema_steps": {name: average.steps for name, average in self.averages.items()},
            "config": to_dict(self.config),
        }
        save_state(self.out / "state", groups, progress)
        self.saved_at = time.monotonic()

    def resume(self, folder: str | Path | None = None) -> None:
        """Continues from a training state (``out/state`` by default).

        Raises:
            CheckpointError: if there is none or it belongs to other data.
        """
        groups, progress = load_state(Path(folder or self.out / "state"))
        book = groups["codebook"]
        if len(book["codes"]) != len(self.data):
            raise CheckpointError(
                f"the state knows {len(book['codes'])} images, the data has {len(self.data)}: "
                "use the same shards"
            )
        for name, module in (("decoder", self.decoder), ("encoder", self.encoder)):
            module.load_state_dict(groups[name])
            self.averages[name].values = {k: v.to(self.device) for k, v in groups[f"{name}_ema"].items()}
            self.averages[name].steps = progress["ema_steps"][name]
        restore_optimisers(self.optimisers, groups["optimisers"])
        self.book = CodeBook(self.out / "codebook", len(self.data))
        for name, array in self.book._arrays.items():
            array[:] = book[name].numpy()
        self.start = groups["phase"]["start"]
        self.phase, self.step, self.skipped = progress["phase"], progress["step"], progress["skipped"]

    # -- the loop -----------------------------------------------------------------------------------

    def run(self) -> None:
        """Runs what is left of the schedule and saves after every phase."""
        while self.phase < len(self.config.schedule):
            phase = self.config.schedule[self.phase]
            rows = torch.arange(len(self.data))
            if phase.sharp:
                rows = rows[self.data.sharp.repeat_interleave(2)]
            per_epoch = max(len(rows) // self.config.batch_size, 1)
            steps = max(round(phase.epochs * per_epoch), 1)
            if self.step == 0:
                self._begin_phase(phase)
            clock, images = time.monotonic(), 0
            while self.step < steps:
                epoch, position = divmod(self.step, per_epoch)
                order = torch.randperm(
                    len(rows), generator=torch.Generator().manual_seed(self._seed(epoch, salt=1))
                )
                chosen = rows[order[position * self.config.batch_size :][: self.config.batch_size]]
                self._step(phase, chosen, self.step / steps)
                self.step += 1
                images += len(chosen)
                if self.step % self.config.log_every == 0 or self.step == steps:
                    self._log(phase, steps, images / (time.monotonic() - clock))
                    clock, images = time.monotonic(), 0
                if time.monotonic() - self.saved_at > self.config.save_every:
                    self.save()
            self.phase, self.step = self.phase + 1, 0
            self.save()

    def _seed(self, number: int, salt: int = 0) -> int:
        return (self.config.seed * 1_000_003 + self.phase * 10_007 + salt) * 1_000_003 + number

    @torch.no_grad()
    def _begin_phase(self, phase: Phase) -> None:
        """Phase D starts from the encoder's codes (z^0), once the encoder has been trained at all."""
        trained = any(earlier.kind != "decoder" for earlier in self.config.schedule[: self.phase])
        if phase.kind == "decoder" and trained and not phase.keep_codes:
            for rows in torch.arange(len(self.data)).split(64):
                batch = self.data.batch(rows, self._image_size(phase))
                with self.accelerator.autocast():
                    codes = self._encode(batch)
                self.book.write(rows, codes)
        self.start = self.book.read(torch.arange(len(self.data))).vector().clone()

    def _image_size(self, phase: Phase) -> int:
        config = self.decoder.config
        return (phase.ray_size or config.ray_size) * 2 ** (phase.levels or config.levels)

    def _step(self, phase: Phase, rows: Tensor, done: float) -> None:
        """One optimisation step on some rows of the code book."""
        config = self.config
        torch.manual_seed(self._seed(self.step))
        batch = self.data.batch(rows, self._image_size(phase), config.augmentation)
        rate = cosine_rate(phase.learning_rate, phase.final_learning_rate, done)
        moving = self._moving(phase)
        self.decoder.requires_grad_(False)
        self.encoder.requires_grad_(phase.kind != "decoder" and not phase.only)
        if "decoder" in moving:
            for name, parameter in self.decoder.named_parameters():
                parameter.requires_grad_(name.startswith(phase.only))
        gradient = torch.zeros(len(rows), self.start.shape[1])
        offset, finite = 0, True
        for part in batch.split(config.micro_batch):
            share = len(part.rows) / len(rows)
            if phase.kind == "decoder":
                leaf = self.book.read(part.rows).vector().to(self.device).requires_grad_()
                terms = self._decoder_terms(phase, part, Codes.from_vector(leaf))
            else:
                terms = self._encoder_terms(phase, part)
            loss = sum(terms.values()) * share
            finite = finite and bool(torch.isfinite(loss))
            self.accelerator.backward(loss)
            if phase.kind == "decoder":
                gradient[offset : offset + len(part.rows)] = leaf.grad.cpu()
            offset += len(part.rows)
            for name, value in terms.items():
                self.totals[name].append(float(value.detach()))
        for name in moving:
            optimiser = self.optimisers[name]
            norm = nn.utils.clip_grad_norm_(optimiser.param_groups[0]["params"], config.clip)
            finite = finite and bool(torch.isfinite(norm))
        finite = finite and bool(torch.isfinite(gradient).all())
        if finite:
            for name in moving:
                optimiser = self.optimisers[name]
                sgd = isinstance(optimiser, torch.optim.SGD)
                optimiser.param_groups[0]["lr"] = rate * (0.1 / 5e-4 if sgd else 1.0)
                optimiser.step()
            if phase.kind == "decoder":
                self.book.update(rows, gradient, config.codes_learning_rate)
            if config.ema > 0:
                for name in {"decoder" if name == "decoder" else "encoder" for name in moving}:
                    self.averages[name].update()
        else:
            self.skipped += 1
        for optimiser in self.optimisers.values():
            optimiser.zero_grad(set_to_none=True)

    def _moving(self, phase: Phase) -> list[str]:
        if phase.only:
            return ["decoder"]
        heads = list(ATTRIBUTES)
        return {"decoder": ["decoder"], "encoder": heads, "joint": ["decoder", *heads]}[phase.kind]

    # -- loss terms ---------------------------------------------------------------------------------

    def _render(self, phase: Phase, codes: Codes, coarse: bool = False) -> Rendering:
        rays = phase.ray_size
        if coarse and self.config.cycle_ray_size:
            rays = min(self.config.cycle_ray_size, rays or self.decoder.config.ray_size)
        return self.decoder(codes, ray_size=rays or None, levels=phase.levels or None, jitter=True)

    def _image_terms(self, phase: Phase, rendering: Rendering, batch: Batch) -> Terms:
        """L_pix, L_perc, L_id and the priors on one rendering (eq. 4 to 6)."""
        weights, image = self.config.weights_of(phase), rendering.image
        target, mask = batch.target.to(self.device), batch.mask.to(self.device)
        terms = {"pixel": weights.pixel * pixel_loss(image, target, mask)}
        if weights.white > 0:
            terms["white"] = weights.white * pixel_loss(image, target, 1 - mask)
        if weights.edges > 0:
            terms["edges"] = weights.edges * edges_loss(image, target, mask)
        if weights.opacity > 0:
            terms["opacity"] = weights.opacity * opacity_loss(rendering.opacity, mask)
        if weights.depth > 0:
            depth = depth_loss(rendering.distance, rendering.opacity, batch.depth.to(self.device))
            terms["depth"] = weights.depth * depth
        if self.perceptual is not None and weights.perceptual > 0:
            some = slice(max(round(len(image) * self.config.perceptual_share), 1))
            a, b = self._perceptual_crop(image[some], target[some])
            with torch.no_grad():
                wanted = self.perceptual.taps(b)
            terms["perceptual"] = weights.perceptual * perceptual_loss(self.perceptual.taps(a), wanted)
        count = round(len(image) * self.config.identity_share)
        turn = self.step % self.config.identity_every == 0
        if self.recogniser is not None and weights.identity > 0 and count and turn:
            points = batch.points[:count].to(self.device) * image.shape[-1]
            with torch.no_grad():
                wanted = self.recogniser.embed(target[:count], points, mirror=False)
            found = self.recogniser.embed(image[:count], points, mirror=False)
            terms["identity"] = weights.identity * identity_loss(found, wanted)
        return terms

    def _perceptual_crop(self, image: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        side, crop = image.shape[-1], self.config.perceptual_crop
        if not crop or crop >= side:
            return image, target
        # Anywhere within the face window; the corners of the image hold little.
        low, high = round(0.1 * side), max(round(0.95 * side) - crop, round(0.1 * side) + 1)
        y, x = (int(v) for v in torch.randint(low, high, (2,)))
        return (t[..., y : y + crop, x : x + crop] for t in (image, target))

    def _decoder_terms(self, phase: Phase, batch: Batch, codes: Codes) -> Terms:
        """Phase D (eq. 3): image losses of the code book's codes, and L_reg."""
        with self.accelerator.autocast():
            posed = warp_pose(codes, batch.similarity.to(self.device))
            terms = self._image_terms(phase, self._render(phase, posed), batch)
        start = Codes.from_vector(self.start[batch.rows].to(self.device))
        scale = self.config.weights_of(phase).regulariser
        weights = {name: scale * w for name, w in self.config.attributes.items()}
        terms["regulariser"] = sum(codes_loss(codes, start, weights, self.distance).values())
        return terms

    def _encoder_terms(self, phase: Phase, batch: Batch) -> Terms:
        """Phase E (eq. 7 to 11) and, with weight ``image``, the image losses of ``D(E(I))``."""
        config, weights = self.config, self.config.weights_of(phase)
        terms: Terms = {}
        with self.accelerator.autocast():
            codes = self._encode(batch)
            if phase.only:  # part of the decoder learns on the codes that it will be given
                return self._image_terms(phase, self._render(phase, codes), batch)
            known = warp_pose(self.book.read(batch.rows), batch.similarity)
            known = known.to(self.device)
            for name, value in codes_loss(codes, known, config.attributes, self.distance).items():
                terms[f"code_{name}"] = weights.code * value
            if weights.image > 0:
                mixed = self._with_book(phase, self._with_partners(codes, batch), known)
                rendering = self._render(phase, mixed)
                for name, value in self._image_terms(phase, rendering, batch).items():
                    terms[name] = weights.image * value
            # The decoder judges codes here; it must not learn to please the encoder.
            learning = [p for p in self.decoder.parameters() if p.requires_grad]
            for parameter in learning:
                parameter.requires_grad_(False)
            if weights.cycle > 0 and self.step % config.cycle_every == 0:
                again = self._encode_render(phase, codes)
                distances = codes_loss(codes, again, config.attributes, self.distance)
                terms["cycle"] = weights.cycle * sum(distances.values())
            if weights.swap > 0 and self.step % config.swap_every == 0 and len(batch.rows) > 1:
                attribute = ATTRIBUTES[int(torch.randint(len(ATTRIBUTES), ()))]
                swapped, _ = swap_targets(codes, attribute)
                again = self._encode_render(phase, swapped)
                distances = codes_loss(again, swapped, config.attributes, self.distance)
                terms["swap"] = weights.swap * 2 * sum(distances.values())
            for parameter in learning:
                parameter.requires_grad_(True)
        return terms

    def _encode(self, batch: Batch) -> Codes:
        photo = batch.photo.to(self.device)
        return self.encoder(photo, batch.points.to(self.device) * photo.shape[-1])

    def _encode_render(self, phase: Phase, codes: Codes) -> Codes:
        image = self._render(phase, codes, coarse=True).image
        if image.shape[-1] < 128:
            image = F.interpolate(image, size=(128, 128), mode="bilinear", align_corners=False)
        return self.encoder(image)

    def _with_partners(self, codes: Codes, batch: Batch) -> Codes:
        """Some items take their shape code from another photo of the same person."""
        share = self.config.partner_share
        chosen = torch.rand(len(batch.rows)) < share
        if not chosen.any():
            return codes
        rows = self.data.partner(batch.rows[chosen])
        other = self.data.batch(rows, 64, self.config.augmentation)
        shape = codes.shape.clone()
        photo = other.photo.to(self.device)
        points = other.points.to(self.device) * photo.shape[-1]
        shape[chosen.to(self.device)] = self.encoder.heads["shape"](photo, points)
        return codes.replace(shape=shape)

    def _with_book(self, phase: Phase, codes: Codes, known: Codes) -> Codes:
        """Some items take some codes from the code book: its poses are exact, the heads' are not yet."""
        replaced = {}
        for name, share in phase.book_share.items():
            chosen = torch.rand(len(codes), 1, device=self.device) < share
            replaced[name] = torch.where(chosen, getattr(known, name), getattr(codes, name))
        return codes.replace(**replaced) if replaced else codes

    def _log(self, phase: Phase, steps: int, rate: float) -> None:
        means = {name: sum(values) / len(values) for name, values in self.totals.items() if values}
        self.totals.clear()
        line = {
            "phase": self.phase,
            "kind": phase.kind,
            "step": self.step,
            "steps": steps,
            "images_per_second": round(rate, 2),
            "skipped": self.skipped,
            **{name: round(value, 5) for name, value in means.items()},
        }
        with open(self.out / "log.jsonl", "a") as file:
            file.write(json.dumps(line) + "\n")
        if self.accelerator.is_main_process:
            print(json.dumps(line), flush=True)  # noqa: T201

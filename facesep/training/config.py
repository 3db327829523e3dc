"""The configuration of a training run: frozen dataclasses, read from YAML, strict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from facesep.codes import ATTRIBUTES
from facesep.config import ModelConfig, from_dict, preset, to_dict
from facesep.errors import ConfigError
from facesep.training.dataset import Augmentation

CONFIGS = Path(__file__).with_name("configs")
"""Configurations that come with the package; ``--config`` takes their names."""


@dataclass(frozen=True)
class Weights:
    """Weights of the loss terms (lambda) in both phases.

    Attributes:
        pixel: L_pix, the scale of everything else.
        white: mean absolute difference outside the head mask; L_pix leaves the background free.
        edges: L_pix on differences of neighbouring pixels; it rewards sharp features where colours are right.
        features: L_pix and edges once more around eyes and mouth, see
            ``facesep.training.losses.features_loss``; not in the paper.
        perceptual: L_perc.
        identity: L_id.
        regulariser: L_reg, keeps the code book near the encoder.
        opacity: silhouette against the head mask.
        depth: surface against the fitted mesh; one view per person does not fix depth.
        code: L_cod.
        cycle: L_cyc.
        swap: L_dis.
        hair: hair of the photo around the face of another person, see
            ``facesep.training.objective.Objective.phase_e``; not in the paper.
        view: the face of the photo on the head in another pose, see ``facesep.training.views``; likewise.
        image: the image losses of ``D(E(I))`` in phases "encoder" and "joint"; 0 as in the paper.
    """

    pixel: float = 1.0
    white: float = 0.0
    edges: float = 0.0
    features: float = 0.0
    perceptual: float = 1.0
    identity: float = 1.0
    regulariser: float = 1.0
    opacity: float = 0.0
    depth: float = 0.0
    code: float = 1.0
    cycle: float = 1.0
    swap: float = 1.0
    hair: float = 0.0
    view: float = 0.0
    image: float = 0.0


@dataclass(frozen=True)
class Phase:
    """One stage of training.

    Attributes:
        kind: ``decoder`` (phase D: decoder and code book move), ``encoder`` (phase E: the heads move) or
            ``joint`` (both move on the images of ``D(E(I))``).
        epochs: passes over the training images and their mirror images.
        minutes: ends the phase after so much time, whatever is left of its epochs; the learning rate falls
            with whichever is further. 0: no limit. A run with a limit depends on the speed of its machine.
        learning_rate: at the start, for Adam.
        final_learning_rate: at the end, reached along a cosine.
        ray_size: rays along each side; 0 for the model's own. Fewer is cheaper and coarser.
        levels: upsampler levels; 0 for all. The image has ``ray_size * 2^levels`` pixels.
        keep_codes: a decoder phase after the encoder has learned starts from the encoder's codes, as in the
            paper; if set, it goes on with those in the book.
        only: train only decoder parameters whose names start so, on the encoder's codes; with ``joint``.
        sharp: use only photos that are sharp at 256 px.
        book_share: per attribute, share of joint items rendered with the code book's code instead of the
            head's; exact poses keep features sharp while the heads still learn.
        weights: loss weights that differ from the run's in this phase.
    """

    kind: Literal["decoder", "encoder", "joint"]
    epochs: float = 5.0
    minutes: float = 0.0
    learning_rate: float = 5e-4
    final_learning_rate: float = 5e-4
    ray_size: int = 0
    levels: int = 0
    keep_codes: bool = False
    only: str = ""
    sharp: bool = False
    book_share: dict[str, float] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if unknown := set(self.weights) - {term.name for term in fields(Weights)}:
            raise ConfigError(f"weights of a phase: no loss term is called {', '.join(sorted(unknown))}")
        if not set(self.book_share) <= set(ATTRIBUTES):
            raise ConfigError(f"book_share names attributes: {', '.join(ATTRIBUTES)}")
        if self.epochs <= 0 or self.learning_rate <= 0:
            raise ConfigError("a phase needs positive epochs and learning_rate")
        if self.minutes < 0:
            raise ConfigError(f"minutes must not be negative, got {self.minutes}")
        if self.only and self.kind != "joint":
            raise ConfigError("a phase with 'only' must be of kind 'joint'")


@dataclass(frozen=True)
class TrainConfig:
    """A whole run.

    Attributes:
        preset: the model's preset.
        model: the model; in a file, what differs from the preset.
        schedule: phases in order.
        weights: weights of the loss terms.
        attributes: weight w of each attribute in the code losses.
        distance: distance of codes: ``cosine`` (paper) or ``scaled`` (also fixes their length).
        shape_optimiser: ``sgd`` (paper, learning rate 0.1 for 5e-4 of the others) or ``adam``.
        batch_size: images of a step.
        micro_batch: images of a forward pass; smaller ones stay in a processor's cache.
        cycle_every: steps between L_cyc terms.
        swap_every: steps between L_dis terms.
        hair_every: steps between terms of the hair around another face.
        hair_share: share of a batch that they look at.
        view_every: steps between terms of the head in another pose.
        view_share: share of a batch that they look at.
        cycle_ray_size: rays of the renders in L_cyc and L_dis; 0 for the phase's own.
        partner_share: share of joint steps' items whose shape code comes from another photo (or the mirror
            image) of the same person, so that the shape code cannot carry the expression.
        identity_share: share of a batch that L_id looks at.
        identity_every: steps between L_id terms.
        perceptual_share: share of a batch that L_perc looks at.
        codes_learning_rate: Adam step of the code book.
        start: what the code book holds at first: the ``encoder``'s codes (paper) or the ``labels``.
        recompute: renderer activations are computed again in the backward pass, which saves memory.
        clip: largest gradient norm of each optimiser.
        ema: decay of the averaged weights that are saved; 0 for none.
        bf16: bfloat16 matrix products.
        seed: of everything random.
        image_store: side in pixels at which photos are read.
        in_memory: keeps all photos in memory (on a GPU in its own); else they are read from the shards ahead
            of each step.
        mirror: trains on mirror images as well.
        augmentation: variation of the images.
        log_every: steps between lines of the log.
        perceptual: which network ``--perceptual`` names: ``st_vgg`` (ST-LPIPS trunk) or ``vgg19``.
        recogniser: which network ``--recogniser`` names: ``mobilefacenet`` or ``arcface`` (paper).
        perceptual_slices: how many of its slices are compared.
        perceptual_crop: side of the random crop it looks at; 0 for the whole image.
    """

    preset: str = "paper"
    model: ModelConfig | None = None
    schedule: tuple[Phase, ...] = field(default_factory=tuple)
    weights: Weights = field(default_factory=Weights)
    attributes: dict[str, float] = field(default_factory=lambda: dict.fromkeys(ATTRIBUTES, 1.0))
    distance: Literal["cosine", "scaled"] = "cosine"
    shape_optimiser: Literal["sgd", "adam"] = "sgd"
    batch_size: int = 16
    micro_batch: int = 4
    cycle_every: int = 1
    swap_every: int = 1
    hair_every: int = 1
    hair_share: float = 0.5
    view_every: int = 1
    view_share: float = 0.5
    cycle_ray_size: int = 0
    partner_share: float = 0.0
    identity_share: float = 1.0
    identity_every: int = 1
    perceptual_share: float = 1.0
    codes_learning_rate: float = 5e-4
    start: Literal["encoder", "labels"] = "encoder"
    recompute: bool = False
    clip: float = 1.0
    ema: float = 0.0
    bf16: bool = True
    seed: int = 0
    image_store: int = 256
    in_memory: bool = True
    mirror: bool = True
    augmentation: Augmentation = field(default_factory=Augmentation)
    log_every: int = 50
    perceptual: Literal["st_vgg", "vgg19"] = "vgg19"
    recogniser: Literal["mobilefacenet", "arcface"] = "arcface"
    perceptual_slices: int = 5
    perceptual_crop: int = 0

    def __post_init__(self) -> None:
        if set(self.attributes) != set(ATTRIBUTES):
            raise ConfigError(f"attributes needs one weight for each of {', '.join(ATTRIBUTES)}")
        if not 1 <= self.micro_batch <= self.batch_size:
            raise ConfigError("micro_batch must be between 1 and batch_size")
        for name in ("cycle_every", "swap_every", "hair_every", "view_every", "identity_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be 1 or more; weights leave a loss out")
        self._check_pairs()
        self._check_images()

    def _check_pairs(self) -> None:
        for term in ("swap", "hair"):
            used = any(p.kind != "decoder" and getattr(self.weights_of(p), term) > 0 for p in self.schedule)
            if used and self.micro_batch < 2:
                what = "L_dis swaps codes" if term == "swap" else "weights.hair exchanges faces"
                raise ConfigError(f"{what} within a micro_batch: make it 2 or more, or weights.{term} 0")

    def _check_images(self) -> None:
        """Terms on images of ``D(E(I))`` must not be asked for where they would be left out."""
        drawn = [p for p in self.schedule if self.draws(p)]
        for term in ("hair", "view"):
            asked = [p for p in self.schedule if p.weights.get(term, 0) > 0]
            if any(p not in drawn for p in asked) or (
                getattr(self.weights, term) > 0 and self.schedule and not drawn
            ):
                raise ConfigError(
                    f"weights.{term} needs phases of kind 'joint' or 'encoder' and weights.image, not 'only'"
                )
        wanted = any(self.weights_of(p).hair > 0 for p in drawn)
        if wanted and not self.model_config().decoder.hair:
            raise ConfigError("weights.hair needs a decoder with a hair code: set it to 0")

    def draws(self, phase: Phase) -> bool:
        """Whether a phase has the image losses of ``D(E(I))``."""
        return phase.kind != "decoder" and not phase.only and self.weights_of(phase).image > 0

    def weights_of(self, phase: Phase) -> Weights:
        """The loss weights in a phase."""
        return replace(self.weights, **phase.weights)

    def model_config(self) -> ModelConfig:
        """The model that this run trains."""
        return self.model or preset(self.preset)


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Reads a YAML file and applies ``key.sub=value`` overrides.

    Args:
        path: the file, or the name of a bundled one, such as ``mini``.
        overrides: ``key.sub=value``.

    Raises:
        ConfigError: for a missing file, bad YAML, unknown keys or wrong types.
    """
    values = load_values(path, overrides)
    if isinstance(model := values.get("model"), dict):  # what it leaves out is the preset's
        own = to_dict(preset(str(values.get("preset", TrainConfig.preset))))
        for name in own.keys() & model.keys():
            own[name] = own[name] | model[name] if isinstance(model[name], dict) else model[name]
        values["model"] = model | own
    return from_dict(TrainConfig, values, str(path))


def load_values(path: str | Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The values of a YAML file with ``key.sub=value`` overrides, unchecked.

    Raises:
        ConfigError: for a missing file or bad YAML.
    """
    import yaml

    bundled = {file.stem: file for file in sorted(CONFIGS.glob("*.yaml"))}
    try:
        values = yaml.safe_load(Path(bundled.get(str(path), path)).read_text(encoding="utf-8")) or {}
        for item in overrides:
            key, separator, value = item.partition("=")
            if not separator:
                raise ConfigError(f"--set takes key=value, got {item!r}")
            _set(values, key.split("."), yaml.safe_load(value))
    except OSError as error:
        names = ", ".join(bundled)
        raise ConfigError(f"cannot read {path}: {error}; bundled configurations are {names}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from error
    return values


def _set(values: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        values = values.setdefault(key, {})
        if not isinstance(values, dict):
            raise ConfigError(f"--set cannot reach into {key!r}")
    values[keys[-1]] = value

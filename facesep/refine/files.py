"""Files of a refiner: written in diffusers' layout, read strictly.

::

    model_index.json  unet/  scheduler/  estimator/  train_config.json  README.md

A folder with these files stands alone, or as ``refiner/`` in a checkpoint, whose checksums then cover it.
Classes are chosen from a short list and never by the name that a file gives.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffusers import DDIMScheduler, ModelMixin, UNet2DModel

from facesep.checkpoint import CARD
from facesep.checksums import CHECKSUMS, MAX_JSON_BYTES, PICKLES, verify_part
from facesep.errors import CheckpointError
from facesep.refine import FOLDER, INDEX
from facesep.refine.networks import LayeredUNet, SwinIREstimator

if TYPE_CHECKING:
    from facesep.refine.pipeline import FaceRefiner

ABOUT = "train_config.json"
UNETS: dict[str, type[UNet2DModel]] = {"UNet2DModel": UNet2DModel, "LayeredUNet": LayeredUNet}
SCHEDULERS = ("DDIMScheduler", "DDPMScheduler")
"""Schedules that are read; what they have in common is the noise levels."""
SETTINGS = {"steps": int, "start": int, "eta": (int, float), "offset": int}


def write_refiner(refiner: FaceRefiner, folder: Path, write_part: Callable[[Path], None]) -> None:
    """Writes a refiner; ``save`` is diffusers' own way.

    Raises:
        CheckpointError: if the disk refuses.
    """
    for module in (refiner.unet, refiner.estimator, refiner.scheduler):
        if module is not None:
            module.register_to_config(_name_or_path="")  # a path of this machine is nobody's business
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_part(folder)
        (folder / ABOUT).write_text(json.dumps(refiner.about, indent=2) + "\n", encoding="utf-8")
        (folder / CARD).write_text(refiner.model_card(), encoding="utf-8")
    except OSError as error:
        raise CheckpointError(f"cannot write the refiner {folder}: {error}") from error


def read_refiner(folder: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Reads a refiner's folder, or the one in a checkpoint.

    Returns:
        Networks and scheduler by name, settings, and where the weights come from.

    Raises:
        CheckpointError: if something is missing, unknown, damaged or changed.
    """
    if (folder / CHECKSUMS).is_file():
        verify_part(folder, FOLDER)
        folder = folder / FOLDER
    if not (folder / INDEX).is_file():
        raise CheckpointError(f"{folder} holds no refiner ({INDEX} is missing)")
    index = _json(folder / INDEX)
    parts: dict[str, Any] = {"unet": _unet(folder / "unet"), "scheduler": _scheduler(folder / "scheduler")}
    if (index.get("estimator") or [None])[0] is not None:
        parts["estimator"] = _network(SwinIREstimator, folder / "estimator")
    settings = {name: index[name] for name in SETTINGS if name in index}
    for name, value in settings.items():
        if isinstance(value, bool) or not isinstance(value, SETTINGS[name]):
            raise CheckpointError(f"{folder / INDEX}: {name} is {value!r}, not a number")
    about = _json(folder / ABOUT) if (folder / ABOUT).is_file() else {}
    return parts, settings, about


def read_unet(folder: Path) -> tuple[UNet2DModel, DDIMScheduler]:
    """Reads an unconditional diffusion model: a pipeline's folder, or a bare model's.

    Raises:
        CheckpointError: if it is something else.
    """
    unet = folder / "unet" if (folder / "unet").is_dir() else folder
    scheduler = folder / "scheduler" if (folder / "scheduler").is_dir() else folder
    return _unet(unet), _scheduler(scheduler)


def _unet(folder: Path) -> UNet2DModel:
    config = _json(folder / "config.json")
    kind = UNETS.get(str(config.get("_class_name")))
    if kind is None:
        raise CheckpointError(
            f"{folder} holds {str(config.get('_class_name'))[:60]}, not an unconditional UNet2DModel"
        )
    net = _network(kind, folder)
    if net.config.in_channels != 3 or net.config.out_channels not in (3, 6):
        raise CheckpointError(f"{folder} does not work on RGB pictures (latent diffusion is not supported)")
    if net.config.class_embed_type or net.config.num_class_embeds:
        raise CheckpointError(f"{folder} needs a class label: choose an unconditional model")
    size = net.config.sample_size
    if not (isinstance(size, int) or (isinstance(size, list | tuple) and len(set(size)) == 1)):
        raise CheckpointError(f"{folder} is not made for square pictures of a fixed size ({size})")
    return net


def _network(kind: type[ModelMixin], folder: Path) -> Any:
    """Loads a network; whatever diffusers would only warn of is an error."""
    _json(folder / "config.json")
    if not any(folder.glob("*.safetensors")):
        pickles = sorted(path.name for path in folder.glob("*") if path.suffix in PICKLES)
        reason = f"; {pickles[0]} is a pickle, which facesep never loads" if pickles else ""
        raise CheckpointError(f"{folder} holds no safetensors file{reason}")
    try:
        net, report = kind.from_pretrained(
            str(folder),
            use_safetensors=True,
            local_files_only=True,
            low_cpu_mem_usage=False,
            output_loading_info=True,
        )
    except CheckpointError:
        raise
    except Exception as error:  # noqa: BLE001 whatever a damaged file does to diffusers
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise CheckpointError(f"{folder} is damaged or of another kind: {reason}") from error
    for what in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
        found = [str(one) for one in report.get(what) or ()]
        if found:
            listed = ", ".join(sorted(found)[:4])
            raise CheckpointError(
                f"{folder} does not fit its configuration; {what.replace('_', ' ')}: {listed}"
            )
    for name, value in net.state_dict().items():
        if value.is_floating_point() and not value.isfinite().all():
            raise CheckpointError(f"{folder} holds values that are not finite in {name}")
    return net.float()


def _scheduler(folder: Path) -> DDIMScheduler:
    """The noise schedule, as DDIM reads it."""
    config = _json(folder / "scheduler_config.json")
    kind = str(config.get("_class_name"))
    if kind not in SCHEDULERS:
        raise CheckpointError(f"{folder} has a {kind[:60]}; facesep reads {' and '.join(SCHEDULERS)}")
    known = set(inspect.signature(DDIMScheduler.__init__).parameters) - {"self"}
    try:
        scheduler = DDIMScheduler(**{name: value for name, value in config.items() if name in known})
    except Exception as error:  # noqa: BLE001 values of the wrong kind
        raise CheckpointError(
            f"{folder / 'scheduler_config.json'} is not a noise schedule: {error}"
        ) from error
    if scheduler.config.thresholding or scheduler.config.prediction_type not in (
        "epsilon",
        "sample",
        "v_prediction",
    ):
        raise CheckpointError(f"{folder}: dynamic thresholding and unknown predictions are not supported")
    return scheduler


def _json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise ValueError("unreasonably large")
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is missing: the refiner is not complete") from error
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} is not a JSON object")
    return value

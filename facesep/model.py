"""FaceSep: photos in, seven codes each; codes in, faces out, from any viewpoint."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from facesep.backends import PACKAGES, attach, choose
from facesep.camera import orbit_path
from facesep.checkpoint import copy_part, read_config, read_json, read_part, write_checkpoint
from facesep.codes import Attribute, Codes
from facesep.config import ModelConfig, from_dict, to_dict
from facesep.errors import CheckpointError, CodesError, ConfigError, FaceError, ImageError
from facesep.faces.types import Aligned, Face
from facesep.fitting import check_steps
from facesep.fitting import fit as fit_codes
from facesep.hub import CheckpointMixin
from facesep.images import Source, load_image, note_refined, to_image, to_tensor
from facesep.nets.decoder import Decoder
from facesep.nets.encoder import build_encoder
from facesep.refine import FOLDER, INDEX

if TYPE_CHECKING:
    from facesep.refine import FaceRefiner

Photo = Source
"""One photo: a path, bytes, a PIL image, an array ``[H, W, 3]`` or a tensor ``[3, H, W]`` in 0..1."""


GPU_FACES = 8
"""Faces rendered at once on a GPU; this bounds the memory of large batches."""
NO_REFINER = (
    "there is no refiner in this checkpoint, and none is downloaded unasked: set one with "
    'sep.refiner = FaceRefiner.from_pretrained("user/repo" or a folder) from facesep.refine (on the command '
    "line: --refiner); docs/refinement.md says how to train or import one"
)
REFINE_OPTIONS = ("steps", "start", "eta", "seed", "on_step")
Refine = bool | Mapping[str, Any]
"""Whether to refine: no, yes, or yes with options of :meth:`FaceRefiner.refine`."""


class FaceSep(CheckpointMixin):
    """An encoder and a decoder that work together.

    Example:
        >>> sep = FaceSep.from_pretrained()                          # doctest: +SKIP
        >>> anna, ben = sep.encode("anna.jpg"), sep.encode("ben.jpg")  # doctest: +SKIP
        >>> sep.render(sep.transfer(anna, ben, ["expression"])).save("anna-smiles.png")  # doctest: +SKIP

    Args:
        config: the model; its networks start with random weights.
        extras: JSON files of the checkpoint besides the configuration (``train_config``, ``eval``).
    """

    def __init__(self, config: ModelConfig, extras: dict[str, dict[str, Any]] | None = None) -> None:
        self.config = config
        self.extras = dict(extras or {})
        self.backend = "torch"
        self._refiner: FaceRefiner | None = None
        self._refiner_home: Path | None = None
        self.encoder = build_encoder(config.encoder).eval().requires_grad_(False)
        self.decoder = Decoder(config.decoder).eval().requires_grad_(False)

    # -- checkpoints --------------------------------------------------------------------------------

    @classmethod
    def _load(
        cls,
        folder: Path,
        *,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        backend: str = "torch",
    ) -> FaceSep:
        """Reads a checkpoint folder strictly, see :mod:`facesep.checkpoint`.

        Args:
            folder: the checkpoint.
            device: where it computes.
            dtype: float type of the weights; with ``openvino`` what it computes in.
            backend: one of :data:`facesep.backends.BACKENDS`.
        """
        backend = choose(backend, device, dtype)
        values = read_config(folder)
        parts = {name: values[name] for name in ("encoder", "decoder") if name in values}
        if len(parts) < 2:
            raise CheckpointError(f"{folder / 'config.json'} needs an encoder and a decoder")
        try:
            config = from_dict(ModelConfig, parts, "config.json")
        except ConfigError as error:
            raise CheckpointError(f"{folder}: {error}") from error
        extras = {
            name: read_json(folder, f"{name}.json")
            for name in ("train_config", "eval")
            if (folder / f"{name}.json").is_file()
        }
        model = cls(config, extras)
        for name, module in model._modules():
            module.load_state_dict(read_part(folder, name, module.state_dict()))
        if (folder / FOLDER / INDEX).is_file():
            model._refiner_home = folder
        return model._with_backend(backend, device, dtype)

    def _with_backend(self, backend: str, device: str | torch.device, dtype: torch.dtype) -> FaceSep:
        """Moves the model and lets a backend compute it; ``backend`` comes from :func:`choose`."""
        compiled = backend in PACKAGES  # from weights in float32
        self.to(device, torch.float32 if compiled else dtype)
        attach(self, backend, dtype)
        self.backend = backend
        return self

    def _save_pretrained(self, save_directory: Path) -> None:
        write_checkpoint(
            save_directory,
            to_dict(self.config),
            {name: module.state_dict() for name, module in self._modules()},
            {f"{name}.json": value for name, value in self.extras.items()},
            self.model_card(),
            add=self._add_refiner,
        )

    def _add_refiner(self, staging: Path) -> None:
        if self._refiner is not None:
            self._refiner.save_pretrained(staging / FOLDER)
        elif self._refiner_home is not None:
            copy_part(self._refiner_home, FOLDER, staging)

    def model_card(self) -> str:
        """Text of the checkpoint's card, from its configuration, training record and evaluation."""
        from facesep.card import make_card

        return make_card(
            to_dict(self.config),
            eval=self.extras.get("eval"),
            train=self.extras.get("train_config"),
            refiner=self.has_refiner,
        )

    def _modules(self) -> list[tuple[str, torch.nn.Module]]:
        return [("encoder", self.encoder), ("decoder", self.decoder)]

    def to(self, device: str | torch.device | None = None, dtype: torch.dtype | None = None) -> FaceSep:
        """Moves the networks; codes and images follow them.

        Args:
            device: such as ``cuda``.
            dtype: ``float32``, ``bfloat16`` or ``float16``; rays and volume integrals stay in float32.

        Raises:
            ConfigError: for a device that is not there or a type that is not a float, and for a model that
                another backend than torch has compiled.
        """
        if self.backend != "torch":
            raise ConfigError(
                f"this model was compiled by {self.backend}: load it again with the device and type you want"
            )
        if dtype is not None and not dtype.is_floating_point:
            raise ConfigError(f"dtype must be a floating-point type, got {dtype}")
        try:
            for _, module in self._modules():
                module.to(device, dtype)
            if self._refiner is not None:
                self._refiner.to(self.device)
        except (RuntimeError, AssertionError) as error:
            raise ConfigError(f"cannot move the model to {device}: {str(error).splitlines()[0]}") from error
        return self

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return self.decoder.background.device

    @property
    def dtype(self) -> torch.dtype:
        """Float type of the weights."""
        return self.decoder.background.dtype

    @property
    def has_refiner(self) -> bool:
        """Whether :attr:`refiner` is there; answered without loading it."""
        return self._refiner is not None or self._refiner_home is not None

    @property
    def refiner(self) -> FaceRefiner:
        """The refiner, loaded at its first use: the checkpoint's, or one that was set.

        Example:
            >>> sep.refiner = FaceRefiner.from_pretrained("user/refiner")  # doctest: +SKIP

        Raises:
            ConfigError: if there is none, or diffusers is not installed.
            CheckpointError: if it is damaged.
        """
        if self._refiner is None:
            if self._refiner_home is None:
                raise ConfigError(NO_REFINER)
            from facesep.refine import FaceRefiner

            self._refiner = FaceRefiner.from_pretrained(self._refiner_home, device=self.device)
            self._refiner.set_progress_bar_config(disable=True)
        return self._refiner

    @refiner.setter
    def refiner(self, refiner: FaceRefiner | None) -> None:
        self._refiner, self._refiner_home = refiner, None
        if refiner is not None:
            refiner.to(self.device)

    @property
    def image_size(self) -> int:
        """Side of rendered and canonical images in pixels."""
        return self.config.decoder.image_size

    # -- photo -> codes -----------------------------------------------------------------------------

    def align(self, photo: Photo, face: int | Face | None = None) -> Aligned:
        """Finds the face of a photo and cuts out its canonical crop.

        Args:
            photo: one photo.
            face: which face: an index (largest first), a :class:`~facesep.faces.Face`, or None for the
                only or by far the largest one.

        Raises:
            ImageError: for something that is not a usable picture.
            FaceError: if there is no face, several, or one that is too small or turned too far.
        """
        from facesep.faces import align

        return align(load_image(photo), face, self.image_size)

    @torch.no_grad()
    def encode(
        self,
        photo: Photo | Aligned | Sequence[Photo | Aligned],
        *,
        face: int | Face | None = None,
        aligned: bool = False,
        fit: int = 0,
    ) -> Codes:
        """Takes photos apart.

        Args:
            photo: one photo, what :meth:`align` made of one, a list of them, or a tensor ``[B, 3, H, W]``
                in 0..1.
            face: which face of each photo, see :meth:`align`; what is aligned already has one.
            aligned: the photos are canonical crops whose five points are not known, such as renders. The
                paper's shape head then looks where the predicted pose puts them; heads that read the image
                alone give the same with and without points.
            fit: gradient steps after the forward pass, which bring renders nearer to their photos
                (:func:`facesep.fitting.fit`); 20 do most of it. 0 is the zero-shot result.

        Returns:
            The codes of one face for one photo, a batch for a list or a batched tensor.

        Raises:
            ConfigError: for a number of steps out of range.
            ImageError: for something that is not a usable picture.
            FaceError: if a face cannot be used; for lists both messages name the photo's position.
        """
        if isinstance(photo, Tensor) and photo.ndim == 4:
            return self._encode_list(list(photo), face, aligned, fit)
        if isinstance(photo, list | tuple):
            return self._encode_list(photo, face, aligned, fit)
        return self._encode_list([photo], face, aligned, fit)[0]

    def _encode_list(
        self, photos: Sequence[Photo | Aligned], face: int | Face | None, aligned: bool, fit: int
    ) -> Codes:
        check_steps(fit)
        if not photos:
            raise ImageError("no photo was given")
        crops = []
        for number, photo in enumerate(photos, 1):
            try:
                crops.append(self._crop(photo, face, aligned))
            except (ImageError, FaceError) as error:
                if len(photos) > 1:
                    error.args = (f"photo {number} of {len(photos)}: {error}",)
                raise
        if len({points is None for _, points in crops}) == 2:  # a batch has points for all or for none
            return Codes.stack([self._encode_crops([crop], fit) for crop in crops])
        return self._encode_crops(crops, fit)

    def _crop(
        self, photo: Photo | Aligned, face: int | Face | None, aligned: bool
    ) -> tuple[Image.Image, np.ndarray | None]:
        """The canonical crop that the encoder reads, and its five points if they are known."""
        if aligned and not isinstance(photo, Aligned):
            image, points = load_image(photo), None
        else:
            found = photo if isinstance(photo, Aligned) else self.align(photo, face)
            image, points = found.image, found.points
        if image.width != image.height:
            raise ImageError(f"an aligned picture is square, this one is {image.width}x{image.height}")
        size = self.image_size
        if image.width == size:
            return image, points
        scaled = None if points is None else points * (size / image.width)
        return image.resize((size, size), Image.Resampling.LANCZOS), scaled

    def _encode_crops(self, crops: Sequence[tuple[Image.Image, np.ndarray | None]], fit: int) -> Codes:
        batch = torch.stack([to_tensor(image) for image, _ in crops]).to(self.device)
        known = [points for _, points in crops if points is not None]
        points = torch.from_numpy(np.stack(known)).to(batch) if known else None
        return fit_codes(self.decoder, self.encoder(batch, points), batch, fit)

    # -- codes -> faces -----------------------------------------------------------------------------

    @torch.no_grad()
    def render(
        self,
        codes: Codes,
        *,
        yaw: float | None = None,
        pitch: float | None = None,
        roll: float | None = None,
        output: str = "pil",
        refine: Refine = False,
    ) -> Image.Image | list[Image.Image] | Tensor:
        """Renders codes on white.

        Args:
            codes: one face or a batch.
            yaw: degrees, replaces the head's own; positive turns the nose to image right.
            pitch: degrees; positive nods.
            roll: degrees; positive tilts counter-clockwise.
            output: ``pil`` or ``tensor``.
            refine: True adds invented detail with :attr:`refiner`, which costs time; a mapping does so with
                options such as ``{"steps": 5, "seed": 1}``, see :meth:`FaceRefiner.refine`.

        Returns:
            An image (a list for a batch), or ``Tensor[3, S, S]`` (``[B, 3, S, S]``) in 0..1.

        Raises:
            ConfigError: for an unknown output, an angle beyond 90 degrees, or without a refiner to refine.
        """
        if output not in ("pil", "tensor"):
            raise ConfigError(f"output must be 'pil' or 'tensor', got {output!r}")
        refined = self._refinement(refine)
        batch = _as_codes(codes).batch().to(self.device)
        batch = _turned(batch, pitch, yaw, roll)
        step = 1 if self.device.type == "cpu" else GPU_FACES
        # One face at a time on a CPU: its samples then stay in the cache.
        images = torch.cat([self._render_batch(batch[i : i + step]) for i in range(0, len(batch), step)])
        if refined is not None:
            images = refined(images.clamp(0, 1))
        if output == "tensor":
            return images if codes.batched else images[0]
        pictures = [to_image(image) for image in images]
        if refined is not None:
            pictures = [note_refined(picture) for picture in pictures]
        return pictures if codes.batched else pictures[0]

    def _render_batch(self, codes: Codes) -> Tensor:
        return self.decoder(codes).image.float()

    def transfer(
        self,
        base: Codes | Photo | Aligned,
        donor: Codes | Photo | Aligned,
        attributes: str | Iterable[str | Attribute],
        strength: float = 1.0,
    ) -> Codes:
        """The base face with some attributes of a donor; see :meth:`Codes.swap`.

        Args:
            base: codes, or a photo (aligned or not) that is encoded first.
            donor: codes or a photo.
            attributes: names, such as ``["expression", "hair"]``.
            strength: 0 to 1.5; 1 takes the donor's code.
        """
        return self._codes(base).swap(self._codes(donor), attributes, strength)

    def mix(self, base: Codes | Photo | Aligned, **donors: Codes | Photo | Aligned) -> Codes:
        """Takes each named attribute from its own donor: ``mix(anna, hair=ben, illumination=cara)``."""
        return self._codes(base).mix(**{name: self._codes(donor) for name, donor in donors.items()})

    def interpolate(self, a: Codes | Photo | Aligned, b: Codes | Photo | Aligned, amount: float) -> Codes:
        """All codes between two faces, 0 to 1; see :meth:`Codes.interpolate`."""
        return self._codes(a).interpolate(self._codes(b), amount)

    def orbit(
        self,
        codes: Codes,
        path: str | Path | None = None,
        *,
        yaw: float = 40.0,
        pitch: float = 8.0,
        frames: int = 60,
        fps: float = 30.0,
        on_frame: Callable[[int], object] | None = None,
        refine: Refine = False,
    ) -> Path | Iterator[Image.Image]:
        """Turns a head left, right and back in a seamless loop.

        Args:
            codes: one face.
            path: an ``.mp4`` file to write, frame by frame; None returns the frames instead.
            yaw: largest turn in degrees.
            pitch: largest nod in degrees.
            frames: number of frames.
            fps: frames per second of the video.
            on_frame: called with the number of frames done, for progress.
            refine: as for :meth:`render`. All frames share one seed, so that the invented detail does not
                change from frame to frame.

        Returns:
            The path, or an iterator of images.

        Raises:
            CodesError: for a batch.
            ConfigError: for less than two frames, angles beyond 80 degrees, or without a refiner to refine.
            VideoError: if the video cannot be written.
        """
        if _as_codes(codes).batched:
            raise CodesError("an orbit shows one face: pick one with codes[i]")
        poses = orbit_path(frames, yaw, pitch).to(codes.rotation)
        if isinstance(refine, Mapping) and not isinstance(refine.get("seed", 0), int):
            raise ConfigError("the frames of a video share one seed")
        self._refinement(refine)  # before the first frame is asked for
        pictures = (self.render(codes.replace(rotation=pose), refine=refine) for pose in poses)
        if path is None:
            return pictures
        from facesep.provenance import write_video

        return write_video(pictures, path, fps, on_frame=on_frame)

    def _refinement(self, refine: Refine) -> Callable[[Tensor], Tensor] | None:
        """What turns rendered images into refined ones; None to leave them as they are."""
        if refine is False:
            return None
        options = {} if refine is True else refine
        if not isinstance(options, Mapping) or set(options) - set(REFINE_OPTIONS):
            raise ConfigError(f"refine must be True, False or options among {', '.join(REFINE_OPTIONS)}")
        return functools.partial(self.refiner.refine, **options)

    def _codes(self, face: Codes | Photo | Aligned) -> Codes:
        return face if isinstance(face, Codes) else self.encode(face)


def _as_codes(codes: Codes) -> Codes:
    if not isinstance(codes, Codes):
        raise CodesError(f"expected Codes, got {type(codes).__name__}: call encode(photo) first")
    return codes


def _turned(codes: Codes, pitch: float | None, yaw: float | None, roll: float | None) -> Codes:
    """Replaces the angles that are given, in degrees."""
    angles = list(codes.rotation.unbind(-1))
    for index, (name, value) in enumerate((("pitch", pitch), ("yaw", yaw), ("roll", roll))):
        if value is None:
            continue
        if not -90.0 < value < 90.0:
            raise ConfigError(f"{name} must be between -90 and 90 degrees, got {value}")
        angles[index] = torch.full_like(angles[index], math.radians(value))
    return codes.replace(rotation=torch.stack(angles, -1))

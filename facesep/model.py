"""FaceSep: photos in, seven codes each; codes in, faces out, from any viewpoint."""

from __future__ import annotations

import contextlib
import math
import sys
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from facesep import checks
from facesep.backends import PACKAGES, attach, choose
from facesep.camera import orbit_path
from facesep.checkpoint import copy_part, read_config, read_json, read_part, write_checkpoint
from facesep.codes import Attribute, Codes, is_codes_file, parse_attributes
from facesep.config import ModelConfig, from_dict, to_dict
from facesep.detail.flow import resize
from facesep.detail.paste import LARGEST_TURN, paste, turn
from facesep.detail.portrait import Frame, Portrait, codes_of
from facesep.detail.render import (
    Background,
    check_background,
    check_size,
    choose_size,
    lay,
    picture,
    pictures,
    plain_picture,
)
from facesep.detail.source import MOST_PIXELS as SOURCE_PIXELS
from facesep.detail.source import fine, read_source, source_size
from facesep.driving import MOVES, Step, follow, moved, moving_attributes, rate, read_motion, tracks
from facesep.errors import (
    CheckpointError,
    CodesError,
    ConfigError,
    FaceError,
    FaceSepError,
    ImageError,
    PhotoWarning,
)
from facesep.faces.alignment import turned
from facesep.faces.types import Aligned, Face
from facesep.fitting import check_steps
from facesep.fitting import fit as fit_codes
from facesep.hub import CheckpointMixin
from facesep.images import Source, load_image, note_made, note_refined, to_image, to_tensor
from facesep.moves import PHOTOS, Direction, directions, move, named_moves
from facesep.nets.decoder import Decoder
from facesep.nets.encoder import build_encoder
from facesep.nets.finish import Finish
from facesep.nets.landmarks import LandmarkHead
from facesep.refine import FOLDER, INDEX
from facesep.saving import check_frames, save
from facesep.video import counted

if TYPE_CHECKING:
    from facesep.refine import FaceRefiner

Photo = Source
"""One photo: a path, bytes, a PIL image, an array ``[H, W, 3]`` or a tensor ``[3, H, W]`` in 0..1."""
One = TypeVar("One", Photo, Photo | Aligned)
Angle = float | Sequence[float] | Tensor | np.ndarray | None
"""Degrees for all faces of a batch, or for each."""

MOST_PIXELS = 2**28
"""Most pixels of a batch: 16,384 faces at 128 pixels, 256 at 1,024; as floats they take 3 GB."""
GPU_FACES = 8
"""Faces rendered at once on a GPU; this bounds the memory of large batches."""
NO_REFINER = (
    "there is no refiner in this checkpoint, and none is downloaded unasked: set one with "
    'sep.refiner = FaceRefiner.from_pretrained("user/repo" or a folder) from facesep.refine (on the command '
    "line: --refiner); docs/refinement.md says how to train or import one"
)
LANDMARKS = "landmarks"
"""Part of a checkpoint that holds its landmark head; it may be missing."""
FINISH = "finish"
"""Part of a checkpoint that holds its Finish network; it may be missing."""
NO_FINISH = (
    "this checkpoint has no Finish network, which completes what photos do not show: leave finish (on the "
    "command line: --finish) out, or add one with train/finish.py (docs/detail.md)"
)
REFINE_OPTIONS = ("steps", "start", "eta", "seed", "on_step")
Refine = bool | Mapping[str, Any]
"""Whether to refine: no, yes, or yes with options of ``FaceRefiner.refine``."""


class FaceSep(CheckpointMixin):
    """An encoder and a decoder that work together.

    Examples:
        >>> sep = FaceSep.from_pretrained()                          # doctest: +SKIP
        >>> anna, ben = sep.encode("anna.jpg"), sep.encode("ben.jpg")  # doctest: +SKIP
        >>> sep.render(sep.transfer(anna, ben, ["expression"])).save("anna-smiles.png")  # doctest: +SKIP

    Args:
        config: the model; its networks start with random weights.
        extras: JSON files of the checkpoint besides the configuration (``train_config``, ``eval``,
            ``moves``).
    """

    def __init__(self, config: ModelConfig, extras: dict[str, dict[str, Any]] | None = None) -> None:
        if not isinstance(config, ModelConfig):
            raise ConfigError(
                f"a model is built from a ModelConfig, got {checks.shown(config)}: "
                "FaceSep.from_pretrained() loads one from a name"
            )
        self.config = config
        self.extras = dict(extras or {})
        self.backend = "torch"
        self._refiner: FaceRefiner | None = None
        self._refiner_home: Path | None = None
        self._named: tuple[Direction, ...] | None = None
        self.landmarks: LandmarkHead | None = None
        self.finish: Finish | None = None
        self.encoder = build_encoder(config.encoder).eval().requires_grad_(False)
        self.decoder = Decoder(config.decoder).eval().requires_grad_(False)

    # -- checkpoints --------------------------------------------------------------------------------

    @classmethod
    def _load(
        cls,
        folder: Path,
        *,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | str = torch.float32,
        backend: str = "torch",
    ) -> FaceSep:
        """Reads a checkpoint folder strictly, see ``facesep.checkpoint``.

        Args:
            folder: the checkpoint.
            device: where it computes.
            dtype: float type of the weights, of torch or by name; with ``openvino`` what it computes in.
            backend: one of ``facesep.backends.BACKENDS``.
        """
        dtype = checks.float_type(dtype)
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
            for name in ("train_config", "eval", "moves")
            if (folder / f"{name}.json").is_file()
        }
        model = cls(config, extras)
        if (folder / LANDMARKS).is_dir():
            model.landmarks = LandmarkHead().eval().requires_grad_(False)
        if (folder / FINISH).is_dir():
            model.finish = Finish().eval().requires_grad_(False)
        for name, module in model._modules():
            module.load_state_dict(read_part(folder, name, module.state_dict()))
        if (folder / FOLDER / INDEX).is_file():
            model._refiner_home = folder
        return model._with_backend(backend, device, dtype)

    def _with_backend(self, backend: str, device: str | torch.device, dtype: torch.dtype) -> FaceSep:
        """Moves the model and lets a backend compute it; ``backend`` comes from ``choose``."""
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
        optional = ((LANDMARKS, self.landmarks), (FINISH, self.finish))
        parts = [("encoder", self.encoder), ("decoder", self.decoder)]
        return parts + [(name, module) for name, module in optional if module is not None]

    def to(self, device: str | torch.device | None = None, dtype: torch.dtype | str | None = None) -> FaceSep:
        """Moves the networks; codes and images follow them.

        Args:
            device: such as ``cuda``.
            dtype: ``float32``, ``bfloat16`` or ``float16``, of torch or by name; rays and volume integrals
                stay in float32.

        Raises:
            ConfigError: for a device that is not there or a type that is not a float, and for a model that
                another backend than torch has compiled.
        """
        if self.backend != "torch":
            raise ConfigError(
                f"this model was compiled by {self.backend}: load it again with the device and type you want"
            )
        dtype = None if dtype is None else checks.float_type(dtype)
        device = None if device is None else checks.device(device)
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
        """Whether ``refiner`` is there; answered without loading it."""
        return self._refiner is not None or self._refiner_home is not None

    @property
    def refiner(self) -> FaceRefiner:
        """The refiner, loaded at its first use: the checkpoint's, or one that was set.

        Examples:
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
        if refiner is not None and not hasattr(refiner, "refine"):
            raise ConfigError(f"a refiner is a FaceRefiner of facesep.refine, got {checks.shown(refiner)}")
        self._refiner, self._refiner_home = refiner, None
        if refiner is not None:
            refiner.to(self.device)

    @property
    def image_size(self) -> int:
        """Side of rendered and canonical images in pixels."""
        return self.config.decoder.image_size

    # -- photo -> codes -----------------------------------------------------------------------------

    def align(self, photo: Photo, face: int | Face | None = None, *, upright: bool = False) -> Aligned:
        """Finds the face of a photo and cuts out its canonical crop.

        Args:
            photo: one photo.
            face: which face: an index (largest first), a ``facesep.faces.Face``, or None for the
                only or by far the largest one.
            upright: turns a photo that lies on its side or upside down.

        Raises:
            ImageError: for something that is not a usable picture.
            FaceError: if there is no face, several, or one that is too small, turned too far or lies.
        """
        from facesep.faces import align

        return align(load_image(photo), face, self.image_size, upright=upright)

    @torch.no_grad()
    def encode(
        self,
        photo: Photo | Aligned | Sequence[Photo | Aligned],
        *,
        face: int | Face | None = None,
        aligned: bool = False,
        fit: int = 0,
        upright: bool = False,
    ) -> Codes:
        """Takes photos apart.

        Args:
            photo: one photo, what ``align`` made of one, a list of them, or a tensor ``[B, 3, H, W]``
                in 0..1.
            face: which face of each photo, see ``align``; what is aligned already has one.
            aligned: the photos are canonical crops whose five points are not known, such as renders. The
                paper's shape head then looks where the predicted pose puts them; heads that read the image
                alone give the same with and without points.
            fit: gradient steps after the forward pass, which bring renders nearer to their photos
                (``facesep.fitting.fit``); 20 do most of it. 0 is the zero-shot result.
            upright: turns photos that lie on their side or upside down, see ``align``.

        Returns:
            The codes of one face for one photo, a batch for a list or a batched tensor.

        Raises:
            ConfigError: for a number of steps, photos or a face out of range, and for ``face`` or ``upright``
                with ``aligned``.
            ImageError: for something that is not a usable picture.
            FaceError: if a face cannot be used; for lists the messages name the photo's position.

        Warns:
            PhotoWarning: of what may spoil the result (``Aligned.warnings``). Not for what ``align``
                made, whose caller has them already.
        """
        photos, several = _listed(photo)
        codes = self._encode_list(photos, face, aligned, fit, upright)
        return codes if several else codes[0]

    def _encode_list(
        self,
        photos: Sequence[Photo | Aligned],
        face: int | Face | None,
        aligned: bool,
        fit: int,
        upright: bool,
    ) -> Codes:
        check_steps(fit)
        checks.flag(upright, "upright")
        if checks.flag(aligned, "aligned") and (face is not None or upright):
            raise ConfigError("an aligned picture is taken as it is: leave face and upright out")
        if not photos:
            raise ImageError("no photo was given")
        check_batch(len(photos), self.image_size, ConfigError)
        crops = []
        for photo, place in _places(photos):
            with _naming(place):
                crops.append(self._crop(photo, face, aligned, upright, place))
        if len({points is None for _, points in crops}) == 2:  # a batch has points for all or for none
            return Codes.stack([self._encode_crops([crop], fit) for crop in crops])
        return self._encode_crops(crops, fit)

    def _crop(
        self, photo: Photo | Aligned, face: int | Face | None, aligned: bool, upright: bool, place: str
    ) -> tuple[Image.Image, np.ndarray | None]:
        """The canonical crop that the encoder reads, and its five points if they are known."""
        if aligned and not isinstance(photo, Aligned):
            image, points = load_image(photo), None
        else:
            if not isinstance(photo, Aligned):
                photo = self.align(photo, face, upright=upright)
                for text in photo.warnings:
                    _warn(f"{place}{text}")
            image, points = photo.image, photo.points
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
        skin = getattr(self.encoder, "skin", None)
        return fit_codes(self.decoder, self.encoder(batch, points), batch, fit, skin)

    def portrait(
        self,
        photo: Photo | Sequence[Photo],
        *,
        face: int | Face | None = None,
        fit: int = 0,
        keep: bool = True,
        upright: bool = False,
    ) -> Portrait:
        """Takes photos apart and keeps their pixels, so that results look like photographs of the person.

        Args:
            photo: one photo, or a list of them.
            face: which face of each photo, see ``align``.
            fit: gradient steps, see ``encode``.
            keep: keeps the whole photo, into which ``render`` can put the result
                (``background="keep"``); False keeps the head's crop alone.
            upright: turns photos that lie on their side or upside down, see ``align``; the portrait
                keeps them as they were turned.

        Returns:
            The portrait of one face, or a batch for a list. It is edited like codes (``swap``, ``mix``,
            ``replace``, ``interpolate``), and has them as ``.codes``.

        Raises:
            ConfigError, ImageError, FaceError: as ``encode`` does.
        """
        photos, several = _listed(photo)
        if not photos:
            raise ImageError("no photo was given")
        check_batch(len(photos), SOURCE_PIXELS, ConfigError)
        found = [self._portrait(one, face, fit, keep, upright, place) for one, place in _places(photos)]
        return Portrait.stack([one.batch() for one in found]) if several else found[0]

    def _portrait(
        self, photo: Photo, face: int | Face | None, fit: int, keep: bool, upright: bool, place: str
    ) -> Portrait:
        check_steps(fit)
        checks.flag(keep, "keep")
        with _naming(place):
            image = load_image(photo)
            aligned = self.align(image, face, upright=upright)
        image = turned(image, aligned.turn)
        for text in aligned.warnings:
            _warn(f"{place}{text}")
        codes = self.encode(aligned, fit=fit)
        crop = aligned.crop.apply(image, source_size(aligned.crop.side, self.image_size))
        base = read_source(self.decoder, codes.batch(), to_tensor(crop)[None].to(self.device))
        frame = Frame(aligned.crop, image if keep else None)
        return Portrait(codes, base, (frame,), warnings=aligned.warnings)

    # -- codes -> faces -----------------------------------------------------------------------------

    @torch.no_grad()
    def render(
        self,
        face: Portrait | Codes | Photo | Aligned,
        *,
        yaw: Angle = None,
        pitch: Angle = None,
        roll: Angle = None,
        size: int | None = None,
        detail: bool = True,
        finish: bool | None = None,
        background: Background = "white",
        output: str = "pil",
        refine: Refine = False,
    ) -> Image.Image | list[Image.Image] | Tensor:
        """Renders faces.

        A portrait (or a photo, which becomes one) is shown with the photo's own pixels, moved by the model's
        geometry and recoloured by its renders (``facesep.detail``); codes alone give the model's render.

        Args:
            face: a portrait or codes, one face or a batch, or a photo.
            yaw: degrees, replaces the head's own; positive turns the nose to image right. A batch takes one
                number for all faces, or one for each.
            pitch: degrees; positive nods. As ``yaw``.
            roll: degrees; positive tilts counter-clockwise. As ``yaw``.
            size: side of the result in pixels, 16 to 1024; None chooses what the photo gives (at most 1.5
                times its own resolution), and the size of the model's renders for codes.
            detail: False shows portraits as codes, without the photo's pixels.
            finish: whether the checkpoint's Finish network completes what photos do not show; None does so
                where the checkpoint has one. Pixels that the photo shows stay as they are.
            background: ``white``, ``transparent``, a colour, or ``keep``: the result stands in its photo,
                at the photo's own size. Heads that turn by more than 15 degrees are shown on white, with a
                warning.
            output: ``pil`` or ``tensor``.
            refine: True adds invented detail to the model's render with ``refiner``, which costs time; a
                mapping does so with options such as ``{"steps": 5, "seed": 1}``, see
                ``FaceRefiner.refine``. Refined faces are shown without the photo's pixels.

        Returns:
            An image (a list for a batch), or ``Tensor[3, S, S]`` (``[B, 3, S, S]``; four channels when
            transparent) in 0..1.

        Raises:
            ConfigError: for an unknown output, size or background, an angle beyond 90 degrees, angles that
                are not as many as the faces, or without a refiner or Finish network that is asked for.
        """
        checks.choice(output, "output", ("pil", "tensor"))
        refined = self._refinement(refine)
        check_background(background)
        checks.flag(detail, "detail")
        completed = self._finishing(finish)
        if size is not None:
            check_size(size)
        shown = self._face(face, detail=detail)
        check_batch(len(shown.batch()), size or self.image_size, CodesError)
        batch: Portrait | Codes = shown.batch().to(self.device)
        if isinstance(batch, Portrait) and (not detail or refined is not None):
            batch = batch.codes
        batch = _turned(batch, pitch, yaw, roll)
        if background == "keep":
            if output == "tensor":
                raise ConfigError("a result in its photo is an image: use output='pil'")
            if not isinstance(batch, Portrait):
                raise ConfigError(
                    "only a portrait with its photo has a background to keep: use sep.portrait(photo)"
                )
            found = [self._in_photo(batch[i : i + 1], completed) for i in range(len(batch))]
            return found if shown.batched else found[0]
        images = self._images(batch, size, background, refined, completed)
        if output == "tensor":
            return images if shown.batched else images[0]
        found = pictures(images) if images.shape[1] == 4 else [to_image(image) for image in images]
        if refined is not None:
            found = [note_refined(one) for one in found]
        return found if shown.batched else found[0]

    def _images(
        self,
        batch: Portrait | Codes,
        size: int | None,
        background: Background,
        refined: Callable[[Tensor], Tensor] | None,
        finish: Finish | None,
    ) -> Tensor:
        """Pictures of a batch, ``Tensor[B, 3 or 4, S, S]``."""
        step = 1 if self.device.type == "cpu" else GPU_FACES
        # One face at a time on a CPU: its samples then stay in the cache.
        places = [slice(i, i + step) for i in range(0, len(batch), step)]
        if isinstance(batch, Portrait):
            size = size or choose_size(batch.resolution, self.image_size)
            shown = [
                picture(self.decoder, self.landmarks, batch[place], size, finish=finish) for place in places
            ]
            return torch.cat([lay(each, background) for each in shown])
        parts = [batch[place] for place in places]
        if background == "white":
            images = torch.cat([self._render_batch(part) for part in parts])
            if refined is not None:
                images = refined(images.clamp(0, 1))
            return images if size in (None, images.shape[-1]) else resize(images, size, "bicubic").clamp(0, 1)
        if refined is not None:
            raise ConfigError("refined faces stand on white: use background='white'")
        side = size or self.image_size
        return torch.cat([lay(plain_picture(self.decoder(part), side), background) for part in parts])

    def _in_photo(self, portrait: Portrait, finish: Finish | None) -> Image.Image:
        """One result in its photo; on white, with a warning, when it cannot stand there."""
        frame = portrait.frames[0]
        if frame.photo is None:
            raise ConfigError("this portrait has not kept its photo: use sep.portrait(photo, keep=True)")
        size = fine(frame.crop.side)
        if portrait.moved and turn(portrait.codes, portrait.base.codes) > LARGEST_TURN:
            warnings.warn(
                f"the head turns by more than {LARGEST_TURN:.0f} degrees, too far to stand in its photo: "
                "it is shown on white",
                PhotoWarning,
                stacklevel=3,
            )
            shown = picture(self.decoder, self.landmarks, portrait, size, finish=finish)
            return to_image(lay(shown, "white")[0])
        if portrait.untouched:
            return note_made(frame.photo.copy(), Image.new("L", frame.photo.size))  # nothing was made
        shown = picture(self.decoder, self.landmarks, portrait, size, alone=False, finish=finish)
        regrown = float(portrait.regrown) if portrait.moved else 0.0
        return paste(frame.photo, frame.crop, shown, portrait.base, portrait.moved, regrown)

    def _render_batch(self, codes: Codes) -> Tensor:
        return self.decoder(codes).image.float()

    def transfer(
        self,
        base: Portrait | Codes | Photo | Aligned,
        donor: Portrait | Codes | Photo | Aligned,
        attributes: str | Iterable[str | Attribute] | Mapping[str | Attribute, float],
        strength: float = 1.0,
        *,
        base_face: int | Face | None = None,
        donor_face: int | Face | None = None,
    ) -> Portrait | Codes:
        """The base face with some attributes of a donor; see ``Codes.swap``.

        Args:
            base: a portrait, codes or a file of them, or a photo, which becomes a portrait.
            donor: the same; a portrait or photo also gives the pixels of its hair, and of its mouth with its
                expression.
            attributes: names, such as ``["expression", "hair"]``, or a strength for each:
                ``{"hair": 0.5, "expression": 1}``.
            strength: 0 to 1.5; 1 takes the donor's code.
            base_face: which face of the base's photo, see ``align``.
            donor_face: which face of the donor's photo.

        Returns:
            A portrait, or codes where the base was codes.

        Raises:
            ConfigError: for a face of something that is not a photo.
        """
        face, other = self._face(base, base_face), self._face(donor, donor_face)
        if isinstance(face, Portrait):
            return face.swap(other, attributes, strength)
        return face.swap(codes_of(other), attributes, strength)

    def mix(
        self,
        base: Portrait | Codes | Photo | Aligned,
        *,
        base_face: int | Face | None = None,
        donor_faces: Mapping[str | Attribute, int | Face] | None = None,
        **donors: Portrait | Codes | Photo | Aligned,
    ) -> Portrait | Codes:
        """Takes each named attribute from its own donor: ``mix(anna, hair=ben, illumination=cara)``.

        Args:
            base: as for ``transfer``.
            base_face: which face of the base's photo, see ``align``.
            donor_faces: which face of a donor's photo, by attribute:
                ``mix(anna, hair="group.jpg", donor_faces={"hair": 2})``.
            **donors: a donor for each attribute, as for ``transfer``.

        Returns:
            A portrait, or codes where the base was codes.

        Raises:
            CodesError: for an unknown attribute.
            ConfigError: for a face of something that is not a photo, or of no donor.
        """
        if donors:
            parse_attributes(donors)
        if not isinstance(donor_faces, Mapping | None):
            raise ConfigError("donor_faces must hold a face for each donor, such as {'hair': 2}")
        chosen = {str(name).lower(): which for name, which in (donor_faces or {}).items()}
        if set(chosen) - set(donors):
            name = min(set(chosen) - set(donors))
            raise ConfigError(f"a face is chosen for {name!r}, which has no donor: give {name}=PHOTO as well")
        face = self._face(base, base_face)
        others = {name: self._face(donor, chosen.get(name)) for name, donor in donors.items()}
        if isinstance(face, Portrait):
            return face.mix(**others)
        return face.mix(**{name: codes_of(other) for name, other in others.items()})

    def moves(self) -> tuple[Direction, ...]:
        """The named moves of ``edit``, found when first asked for and kept.

        Returns:
            For each its name, its attribute and the change of that attribute's code
            (``facesep.moves.Direction``).
        """
        if self._named is None:
            self._named = directions(self, list(self.encode(sorted(PHOTOS.glob("*.jpg")))))
        return self._named

    def edit(self, face: Portrait | Codes | Photo | Aligned, moves: Mapping[str, float]) -> Portrait | Codes:
        """A face moved along some of ``moves``: ``edit("anna.jpg", {"smile": 1.5})``.

        Args:
            face: a portrait, codes or a file of them, or a photo, which becomes a portrait.
            moves: how far each goes from where the face stands, -6 to 6 typical differences between two
                faces; capitals in names do not matter.

        Returns:
            A portrait, or codes where the face was codes.

        Raises:
            ConfigError: for an unknown name or a distance out of range.
        """
        chosen = named_moves(self.moves(), moves)
        return move(self._face(face), chosen)

    def interpolate(
        self, a: Portrait | Codes | Photo | Aligned, b: Portrait | Codes | Photo | Aligned, amount: float
    ) -> Portrait | Codes:
        """Everything between two faces, 0 to 1; see ``Codes.interpolate``."""
        face, other = self._face(a), self._face(b)
        if isinstance(face, Portrait):
            return face.interpolate(other, amount)
        return face.interpolate(codes_of(other), amount)

    def orbit(
        self,
        face: Portrait | Codes | Photo | Aligned,
        path: str | Path | None = None,
        *,
        yaw: float = 40.0,
        pitch: float = 8.0,
        frames: int = 60,
        fps: float = 30.0,
        on_frame: Callable[[int], object] | None = None,
        size: int | None = None,
        detail: bool = True,
        finish: bool | None = None,
        background: Background = "white",
        refine: Refine = False,
    ) -> Path | Iterator[Image.Image]:
        """Turns a head left, right and back in a seamless loop.

        Args:
            face: a portrait, codes or a photo of one face.
            path: an ``.mp4``, ``.gif`` or ``.webp`` file to write, or a folder of frames, see
                ``facesep.save``; None returns the frames instead.
            yaw: largest turn in degrees.
            pitch: largest nod in degrees.
            frames: number of frames.
            fps: frames per second of the video.
            on_frame: called with the number of frames done, for progress.
            size: as for ``render``.
            detail: as for ``render``.
            finish: as for ``render``.
            background: ``white``, a colour or, for ``.webp`` and folders of frames, ``transparent``.
            refine: as for ``render``. All frames share one seed, so that the invented detail does not
                change from frame to frame.

        Returns:
            The path, or an iterator of images.

        Raises:
            CodesError: for a batch.
            ConfigError: for less than two frames, angles beyond 80 degrees, or without a refiner to refine.
            VideoError: if the video cannot be written.
        """
        check_background(background)
        if background == "keep":
            raise ConfigError("an orbit stands on white or a colour: its head turns too far for its photo")
        poses = orbit_path(frames, yaw, pitch)
        check_frames(path, fps, background)
        show, head = self._shown(face, size, detail, finish, background, refine)
        poses = poses.to(codes_of(head).rotation)
        pictures = (show(head.replace(rotation=pose)) for pose in poses)
        return (
            counted(pictures, on_frame) if path is None else save(pictures, path, fps=fps, on_frame=on_frame)
        )

    def drive(
        self,
        face: Portrait | Codes | Photo | Aligned,
        video: str | Path,
        path: str | Path | None = None,
        *,
        attributes: str | Collection[str] = MOVES,
        relative: bool = False,
        sound: bool = True,
        fps: float | None = None,
        seconds: float | None = None,
        on_step: Step | None = None,
        size: int | None = None,
        detail: bool = True,
        finish: bool | None = None,
        background: Background = "white",
        refine: Refine = False,
    ) -> Path | Iterator[Image.Image]:
        """Moves a face like the one in a video.

        The video is read by its time stamps and to its end before anything is rendered; no frame of it is
        kept.

        Args:
            face: a portrait, codes or a photo of one face.
            video: a video of one face; of several the largest is followed.
            path: as for ``orbit``; ``.mp4`` alone has sound. None returns the frames instead.
            attributes: what the video moves: ``expression``, ``rotation`` or both.
            relative: moves the face from where it is, by what changes since the first frame of the video;
                else it takes over the expressions and angles themselves.
            sound: whether the result has the sound of the video.
            fps: frames per second, 1 to 120; None takes the video's own, at most 30.
            seconds: how much of the video is used; None takes all of it.
            on_step: called with what is being done, how many frames are done, and how many there are.
            size: as for ``render``.
            detail: as for ``render``.
            finish: as for ``render``.
            background: as for ``orbit``, or, where the expression alone moves, ``keep``: the head stays in
                its photo.
            refine: as for ``orbit``.

        Returns:
            The path, or an iterator of images.

        Raises:
            CodesError: for a batch, and for attributes that a video does not move.
            ConfigError: for arguments out of range, or without a refiner to refine.
            VideoError: if the video cannot be read, or the result not be written.
            FaceError: if less than half of the frames show a face.
        """
        check_background(background)
        if moving_attributes(attributes) != ["expression"] and background == "keep":
            raise ConfigError(
                "a head that turns with a video does not stand in its photo: use "
                "attributes='expression' with background='keep'"
            )
        checks.flag(sound, "sound")
        checks.flag(relative, "relative")
        if on_step is not None and not callable(on_step):
            raise ConfigError(f"on_step must be a function, got {checks.shown(on_step)}")
        fps, seconds = rate(video, fps, seconds)
        check_frames(path, fps, background)
        show, head = self._shown(face, size, detail, finish, background, refine)
        tell = on_step or (lambda *_: None)
        motion = read_motion(follow(self, video, fps, seconds), video, fps, seconds, tell)
        moving = tracks(head, motion, attributes, relative)
        pictures = (show(one) for one in moved(head, moving))

        def done(count: int) -> None:
            tell("Rendering", count, len(motion))

        if path is None:
            return counted(pictures, done)
        return save(pictures, path, fps=fps, on_frame=done, sound=motion.sound if sound else None)

    def _shown(
        self,
        face: Portrait | Codes | Photo | Aligned,
        size: int | None,
        detail: bool,
        finish: bool | None,
        background: Background,
        refine: Refine,
    ) -> tuple[Callable[[Portrait | Codes], Image.Image], Portrait | Codes]:
        """How the frames of a video of one face are rendered, and the face."""
        checks.flag(detail, "detail")
        self._finishing(finish)
        if size is not None:
            check_size(size)
        if isinstance(refine, Mapping) and not isinstance(refine.get("seed", 0), int):
            raise ConfigError("the frames of a video share one seed")
        self._refinement(refine)  # before the first frame is asked for
        head = self._face(face, detail=detail)
        if head.batched:
            raise CodesError("a video shows one face: pick one with face[i]")
        if size is None and isinstance(head, Portrait) and detail:
            size = choose_size(head.resolution, self.image_size) // 2 * 2  # what video codecs want

        def show(one: Portrait | Codes) -> Image.Image:
            image = self.render(
                one, size=size, detail=detail, finish=finish, background=background, refine=refine
            )
            assert isinstance(image, Image.Image)  # not a list: one face
            return image

        return show, head

    def _finishing(self, finish: bool | None) -> Finish | None:
        """The network that completes pictures; None to leave them as they are."""
        if finish is not None and checks.flag(finish, "finish") and self.finish is None:
            raise ConfigError(NO_FINISH)
        return None if finish is False else self.finish

    def _refinement(self, refine: Refine) -> Callable[[Tensor], Tensor] | None:
        """What turns rendered images into refined ones; None to leave them as they are."""
        if refine is False:
            return None
        options = {} if refine is True else refine
        if not isinstance(options, Mapping) or set(options) - set(REFINE_OPTIONS):
            raise ConfigError(f"refine must be True, False or options among {', '.join(REFINE_OPTIONS)}")
        refiner = self.refiner
        return lambda images: refiner.refine(images, **options)

    def _face(
        self,
        face: Portrait | Codes | Photo | Aligned,
        which: int | Face | None = None,
        *,
        detail: bool = True,
    ) -> Portrait | Codes:
        """A portrait or codes as they are; a photo becomes a portrait, or codes without detail."""
        if which is not None and (is_codes_file(face) or isinstance(face, Portrait | Codes | Aligned)):
            raise ConfigError("a face is chosen in a photo: this one was read already, leave the number out")
        if is_codes_file(face):
            return Codes.load(face).to(self.device)
        if isinstance(face, Portrait | Codes):
            return face
        if isinstance(face, Aligned) or not detail:
            return self.encode(face, face=which)
        return self.portrait(face, face=which)


def _listed(photo: One | Sequence[One]) -> tuple[Sequence[One], bool]:
    """Photos as a list, and whether several were given: a list or a tensor ``[B, 3, H, W]``."""
    if isinstance(photo, Tensor) and photo.ndim == 4:
        return list(photo), True
    if isinstance(photo, Sequence) and not isinstance(photo, str | bytes | bytearray | memoryview):
        return photo, True
    return [photo], False


def _places(photos: Sequence[One]) -> Iterator[tuple[One, str]]:
    """Photos with how messages name each."""
    for number, photo in enumerate(photos, 1):
        yield photo, f"photo {number} of {len(photos)}: " if len(photos) > 1 else ""


@contextlib.contextmanager
def _naming(place: str) -> Iterator[None]:
    """Puts a photo's place before what is wrong with it."""
    try:
        yield
    except (ImageError, FaceError, ConfigError) as error:
        error.args = (f"{place}{error}", *error.args[1:])
        raise


def _warn(text: str) -> None:
    """Warns of a photo, in the name of the line outside of facesep that gave it."""
    frame, level = sys._getframe(), 1
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in ("facesep", "torch"):
        frame, level = frame.f_back, level + 1
    warnings.warn(text, PhotoWarning, stacklevel=level)


def check_batch(count: int, size: int, error: type[FaceSepError]) -> None:
    """Makes sure that a batch has faces, and fits in memory.

    Raises:
        FaceSepError: of the kind ``error``.
    """
    most = MOST_PIXELS // size**2
    if not 1 <= count <= most:
        raise error(f"{count} faces cannot be computed at once: give from 1 to {most} at a time")


def _turned(face: Portrait | Codes, pitch: Angle, yaw: Angle, roll: Angle) -> Portrait | Codes:
    """Replaces the angles that are given, in degrees, of a batch."""
    given = {"pitch": pitch, "yaw": yaw, "roll": roll}
    if all(value is None for value in given.values()):
        return face
    angles = list(codes_of(face).rotation.unbind(-1))
    for index, (name, value) in enumerate(given.items()):
        if value is not None:
            angles[index] = _radians(value, name, angles[index])
    return face.replace(rotation=torch.stack(angles, -1))


def _radians(value: float | Sequence[float] | Tensor | np.ndarray, name: str, like: Tensor) -> Tensor:
    """An angle in degrees for each face of a batch."""
    if isinstance(value, Tensor | np.ndarray):
        value = value.tolist()
    if not isinstance(value, list | tuple):
        return torch.full_like(like, math.radians(checks.number(value, name, -90, 90, unit="degrees")))
    each = [math.radians(checks.number(one, name, -90, 90, unit="degrees")) for one in value]
    if len(each) != len(like):
        raise ConfigError(
            f"{len(each)} values of {name} for {len(like)} faces: give one for each, or one number"
        )
    return like.new_tensor(each)

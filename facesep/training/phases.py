"""The phases of the alternating training at work: what moves in each, and what a step minimises.

Phase D minimises L_D (eq. 3), phase E minimises L_E (eq. 7 to 11), and a joint phase both.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facesep.codes import ATTRIBUTES, Codes
from facesep.nets.decoder import Decoder, Rendering
from facesep.training.augment import warp_pose
from facesep.training.codebook import CodeBook
from facesep.training.config import Phase, TrainConfig
from facesep.training.dataset import Batch
from facesep.training.losses import (
    codes_loss,
    cosine_distance,
    depth_loss,
    edges_loss,
    features_loss,
    hair_loss,
    identity_loss,
    opacity_loss,
    perceptual_loss,
    pixel_loss,
    scaled_distance,
    swap_targets,
    transplants,
)
from facesep.training.views import must_be_empty, random_rotation, turn, where_pixels_go

Terms = dict[str, Tensor]


class Networks:
    """The networks of a run.

    Args:
        decoder: the decoder.
        encoder: the encoder.
        perceptual: has ``taps(image)``; None leaves L_perc out.
        recogniser: has ``embed(image, points)``; None leaves L_id out.

    Attributes:
        device: where they are.
        attributes: those that the decoder sees: without a hair code (Table 5) there is nothing to swap.
    """

    def __init__(
        self,
        decoder: Decoder,
        encoder: nn.Module,
        perceptual: nn.Module | None = None,
        recogniser: nn.Module | None = None,
    ) -> None:
        self.decoder, self.encoder = decoder, encoder
        self.perceptual, self.recogniser = perceptual, recogniser
        self.device = decoder.background.device
        self.attributes = tuple(name for name in ATTRIBUTES if name != "hair" or decoder.config.hair)

    def encode(self, batch: Batch) -> Codes:
        """Codes of the photos of a batch."""
        photo = batch.photo.to(self.device)
        return self.encoder(photo, batch.points.to(self.device) * photo.shape[-1])


class ActivePhase(ABC):
    """A phase at work.

    Args:
        config: the run.
        phase: this phase of it.
        networks: the networks; what does not learn in this phase is frozen.
        book: the code book.
        moving: names of the optimisers that make steps.

    Attributes:
        weights: loss weights in this phase.
        leaves: codes whose gradients a step collects, part by part; none where the book does not move.
        image_size: pixels along a side of its images.
        partners: share of its items that are rendered with the shape code of another photo of the person.
    """

    def __init__(
        self,
        config: TrainConfig,
        phase: Phase,
        networks: Networks,
        book: CodeBook,
        moving: tuple[str, ...],
    ) -> None:
        self.config, self.phase, self.networks, self.book = config, phase, networks, book
        self.moving, self.leaves = moving, []
        self.decoder, self.encoder, self.device = networks.decoder, networks.encoder, networks.device
        self.weights = config.weights_of(phase)
        self.distance = cosine_distance if config.distance == "cosine" else scaled_distance
        seen = networks.attributes
        self.code_weights = {name: config.attributes[name] * (name in seen) for name in ATTRIBUTES}
        own = self.decoder.config
        self.image_size = (phase.ray_size or own.ray_size) * 2 ** (phase.levels or own.levels)
        self.partners = config.partner_share if config.draws(phase) else 0.0
        self.encoder.requires_grad_(self.moving != ("decoder",))
        for name, parameter in self.decoder.named_parameters():
            parameter.requires_grad_("decoder" in self.moving and name.startswith(phase.only))

    @abstractmethod
    def losses(self, step: int, batch: Batch) -> Terms:
        """Loss terms of a part of a batch, by name."""

    def render(self, codes: Codes, coarse: bool = False) -> Rendering:
        """Renders at the size of the phase; ``coarse`` with the fewer rays of L_cyc and L_dis."""
        rays = self.phase.ray_size
        if coarse and self.config.cycle_ray_size:
            rays = min(self.config.cycle_ray_size, rays or self.decoder.config.ray_size)
        return self.decoder(codes, ray_size=rays or None, levels=self.phase.levels or None, jitter=True)

    def image_losses(self, step: int, rendering: Rendering, batch: Batch) -> Terms:
        """L_pix, L_perc, L_id and the priors on one rendering (eq. 4 to 6)."""
        weights, image, points = self.weights, rendering.image, batch.points.to(self.device)
        target, mask = batch.target.to(self.device), batch.mask.to(self.device)
        terms = {"pixel": weights.pixel * pixel_loss(image, target, mask)}
        if weights.white > 0:
            terms["white"] = weights.white * pixel_loss(image, target, 1 - mask)
        if weights.edges > 0:
            terms["edges"] = weights.edges * edges_loss(image, target, mask)
        if weights.features > 0:
            terms["features"] = weights.features * features_loss(image, target, mask, points)
        if weights.opacity > 0:
            terms["opacity"] = weights.opacity * opacity_loss(rendering.opacity, mask)
        if weights.depth > 0:
            depth = depth_loss(rendering.distance, rendering.opacity, batch.depth.to(self.device))
            terms["depth"] = weights.depth * depth
        if self.networks.perceptual is not None and weights.perceptual > 0:
            some = _first(len(image), self.config.perceptual_share)
            terms["perceptual"] = weights.perceptual * self._perceptual(image[some], target[some])
        recogniser = self.networks.recogniser if step % self.config.identity_every == 0 else None
        count = round(len(image) * self.config.identity_share)
        if recogniser is not None and weights.identity > 0 and count:
            places = points[:count] * image.shape[-1]
            with torch.no_grad():
                wanted = recogniser.embed(target[:count], places, mirror=False)
            found = recogniser.embed(image[:count], places, mirror=False)
            terms["identity"] = weights.identity * identity_loss(found, wanted)
        return terms

    def _perceptual(self, image: Tensor, target: Tensor) -> Tensor:
        side, crop = image.shape[-1], self.config.perceptual_crop
        if crop and crop < side:
            # Anywhere within the face window; the corners of the image hold little.
            low, high = round(0.1 * side), max(round(0.95 * side) - crop, round(0.1 * side) + 1)
            y, x = (int(v) for v in torch.randint(low, high, (2,)))
            image, target = (t[..., y : y + crop, x : x + crop] for t in (image, target))
        with torch.no_grad():
            wanted = self.networks.perceptual.taps(target)
        return perceptual_loss(self.networks.perceptual.taps(image), wanted)


class DecoderPhase(ActivePhase):
    """Phase D: the decoder and the codes in the book move; the encoder rests."""

    def losses(self, step: int, batch: Batch) -> Terms:
        """L_D (eq. 3): image losses of the book's codes, and L_reg, their distance from z^0."""
        leaf = self.book.read(batch.rows).vector().to(self.device).requires_grad_()
        self.leaves.append(leaf)
        codes, start = Codes.from_vector(leaf), self.book.start(batch.rows).to(self.device)
        posed = warp_pose(codes, batch.similarity.to(self.device))
        terms = self.image_losses(step, self.render(posed), batch)
        weights = {name: self.weights.regulariser * w for name, w in self.code_weights.items()}
        terms["regulariser"] = sum(codes_loss(codes, start, weights, self.distance).values())
        return terms


class EncoderPhase(ActivePhase):
    """Phase E, where the heads move and the decoder rests; or a joint phase, where both move."""

    def losses(self, step: int, batch: Batch) -> Terms:
        """L_E (eq. 7 to 11) and, with weight ``image``, the image losses of ``D(E(I))``.

        With weight ``hair``, hair is compared with the photo's on heads with the face of another person:
        L_dis trains the encoder alone, and a decoder may go on reading the hairstyle from shape and texture.
        With weight ``view``, heads are also rendered in another pose and compared with the photo.
        """
        # z^D, with the pose of the augmented photos
        known = warp_pose(self.book.read(batch.rows).to(self.device), batch.similarity.to(self.device))
        config, weights = self.config, self.weights
        codes = self.networks.encode(batch)
        distances = codes_loss(codes, known, self.code_weights, self.distance)
        terms = {f"code_{name}": weights.code * value for name, value in distances.items()}
        if weights.image > 0:
            rendering = self.render(self._mixed(codes, batch, known))
            for name, value in self.image_losses(step, rendering, batch).items():
                terms[name] = weights.image * value
            if weights.hair > 0 and step % config.hair_every == 0 and len(batch.rows) > 1:
                terms["hair"] = weights.image * self._hair_term(codes, batch)
            if weights.view > 0 and step % config.view_every == 0:
                terms["view"] = weights.image * self._view_term(codes, batch, known)
        # The decoder judges codes here; it must not learn to please the encoder.
        learning = [p for p in self.decoder.parameters() if p.requires_grad]
        for parameter in learning:
            parameter.requires_grad_(False)
        if weights.cycle > 0 and step % config.cycle_every == 0:
            distances = codes_loss(codes, self._again(codes), self.code_weights, self.distance)
            terms["cycle"] = weights.cycle * sum(distances.values())
        if weights.swap > 0 and step % config.swap_every == 0 and len(batch.rows) > 1:
            names = self.networks.attributes
            swapped, _ = swap_targets(codes, names[int(torch.randint(len(names), ()))])
            distances = codes_loss(self._again(swapped), swapped, self.code_weights, self.distance)
            terms["swap"] = weights.swap * 2 * sum(distances.values())
        for parameter in learning:
            parameter.requires_grad_(True)
        return terms

    def _again(self, codes: Codes) -> Codes:
        """The codes that the encoder finds in the render of some."""
        image = self.render(codes, coarse=True).image
        if image.shape[-1] < 128:
            image = F.interpolate(image, size=(128, 128), mode="bilinear", align_corners=False)
        return self.encoder(image)

    def _hair_term(self, codes: Codes, batch: Batch) -> Tensor:
        weights, some = self.weights, _first(len(batch.rows), self.config.hair_share)
        image = self.render(transplants(codes)[some]).image
        target, mask, hair = (x[some].to(self.device) for x in (batch.target, batch.mask, batch.hair))
        inside, outside = hair_loss(image, target, mask, hair)
        return weights.hair * (weights.pixel * inside + weights.white * outside)

    def _view_term(self, codes: Codes, batch: Batch, known: Codes) -> Tensor:
        """Image losses of turned heads, pixels looked up where they moved to; the poses are the book's."""
        weights, some = self.weights, _first(len(batch.rows), self.config.view_share)
        target, mask, hair, depth = (
            x[some].to(self.device) for x in (batch.target, batch.mask, batch.hair, batch.depth)
        )
        posed = codes[some].replace(rotation=known.rotation[some], translation=known.translation[some])
        rotation = random_rotation(posed.rotation)
        image = self.render(turn(posed, rotation)).image
        grid, visible, placed = where_pixels_go(depth, posed, rotation, image.shape[-1])
        face = (mask - hair).clamp_min(0)
        empty = must_be_empty(grid, face * placed, (1 - face) * placed, rotation[:, 1] - posed.rotation[:, 1])
        visible = visible * face  # the mesh does not know where hair is
        outside = ((1 - image) * empty).mean(1).sum() / (visible + empty).sum().clamp_min(1.0)
        image = F.grid_sample(image, grid, align_corners=False) * visible + target * (1 - visible)
        total = weights.pixel * (pixel_loss(image, target, visible) + outside)
        total = total + weights.edges * edges_loss(image, target, visible)
        if self.networks.perceptual is not None and weights.perceptual > 0:
            total = total + weights.perceptual * self._perceptual(image, target)
        return weights.view * total

    def _mixed(self, codes: Codes, batch: Batch, known: Codes) -> Codes:
        """Some items take their shape code from another photo of the person, and some codes from the book.

        The book's poses are exact, those of the heads are not yet.
        """
        mixed, chosen = dict(codes.items()), batch.partnered
        if chosen is not None and chosen.any():
            at = chosen.nonzero()[:, 0].to(self.device)  # a mask would make a GPU wait for its count
            photo = batch.partner.to(self.device)[at]
            points = batch.partner_points.to(self.device)[at] * photo.shape[-1]
            shapes = self.encoder.heads["shape"](photo, points)
            mixed["shape"] = codes.shape.index_put((at,), shapes)
        for name, share in self.phase.book_share.items():
            some = torch.rand(len(codes), 1, device=self.device) < share
            mixed[name] = torch.where(some, getattr(known, name), mixed[name])
        return Codes(**mixed)


class PartPhase(ActivePhase):
    """A part of the decoder learns on the encoder's codes, which it will be given."""

    def losses(self, step: int, batch: Batch) -> Terms:
        """Image losses of ``D(E(I))``."""
        return self.image_losses(step, self.render(self.networks.encode(batch)), batch)


def activate(config: TrainConfig, phase: Phase, networks: Networks, book: CodeBook) -> ActivePhase:
    """The phase of a schedule, ready for its steps."""
    if phase.only:
        return PartPhase(config, phase, networks, book, ("decoder",))
    if phase.kind == "decoder":
        return DecoderPhase(config, phase, networks, book, ("decoder",))
    decoder = ("decoder",) if phase.kind == "joint" else ()
    return EncoderPhase(config, phase, networks, book, (*decoder, *networks.attributes))


def _first(count: int, share: float) -> slice:
    """The first items of a batch, a share of it but at least one."""
    return slice(max(round(count * share), 1))

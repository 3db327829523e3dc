"""What a step minimises: L_D in phase D, L_E in phase E, and both with images in a joint phase."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facesep.codes import ATTRIBUTES, Codes
from facesep.nets.decoder import Decoder, Rendering
from facesep.training.augment import warp_pose
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


class Objective:
    """Loss terms of one part of a batch, by name.

    Args:
        config: weights and shares.
        decoder: the decoder.
        encoder: the encoder.
        perceptual: network with ``taps``; None leaves L_perc out.
        recogniser: network with ``embed(image, points)``; None leaves L_id out.
    """

    def __init__(
        self,
        config: TrainConfig,
        decoder: Decoder,
        encoder: nn.Module,
        perceptual: nn.Module | None = None,
        recogniser: nn.Module | None = None,
    ) -> None:
        self.config, self.decoder, self.encoder = config, decoder, encoder
        self.perceptual, self.recogniser = perceptual, recogniser
        self.distance = cosine_distance if config.distance == "cosine" else scaled_distance
        self.seen = [name for name in ATTRIBUTES if name != "hair" or decoder.config.hair]
        """Attributes that the decoder sees: without a hair code (Table 5) there is nothing to swap."""
        self.weights = {name: config.attributes[name] * (name in self.seen) for name in ATTRIBUTES}

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return self.decoder.background.device

    def phase_d(self, phase: Phase, step: int, batch: Batch, codes: Codes, start: Codes) -> Terms:
        """L_D (eq. 3): image losses of the code book's codes, and L_reg.

        Args:
            phase: the phase.
            step: its step.
            batch: photos.
            codes: their codes in the book, which move.
            start: z^0, their codes before the phase.
        """
        posed = warp_pose(codes, batch.similarity.to(self.device))
        terms = self._image_terms(phase, step, self.render(phase, posed), batch)
        scale = self.config.weights_of(phase).regulariser
        weights = {name: scale * w for name, w in self.weights.items()}
        distances = codes_loss(codes, start, weights, self.distance)
        terms["regulariser"] = sum(distances.values())
        return terms

    def phase_e(self, phase: Phase, step: int, batch: Batch, known: Codes) -> Terms:
        """L_E (eq. 7 to 11) and, with weight ``image``, the image losses of ``D(E(I))``.

        With weight ``hair``, hair is compared with the photo's on heads with the face of another person:
        L_dis trains the encoder alone, and a decoder may go on reading the hairstyle from shape and texture.
        With weight ``view``, heads are also rendered in another pose and compared with the photo.

        Args:
            phase: the phase.
            step: its step.
            batch: photos.
            known: z^D, their codes in the book, with the pose of the augmented photos.
        """
        config, weights = self.config, self.config.weights_of(phase)
        terms: Terms = {}
        codes = self.encode(batch)
        if phase.only:  # part of the decoder learns on the codes that it will be given
            return self._image_terms(phase, step, self.render(phase, codes), batch)
        for name, value in codes_loss(codes, known, self.weights, self.distance).items():
            terms[f"code_{name}"] = weights.code * value
        if weights.image > 0:
            mixed = self._with_book(phase, self._with_partners(codes, batch), known)
            rendering = self.render(phase, mixed)
            for name, value in self._image_terms(phase, step, rendering, batch).items():
                terms[name] = weights.image * value
            if weights.hair > 0 and step % config.hair_every == 0 and len(batch.rows) > 1:
                terms["hair"] = weights.image * self._hair_term(phase, codes, batch)
            if weights.view > 0 and step % config.view_every == 0:
                terms["view"] = weights.image * self._view_term(phase, codes, batch, known)
        # The decoder judges codes here; it must not learn to please the encoder.
        learning = [p for p in self.decoder.parameters() if p.requires_grad]
        for parameter in learning:
            parameter.requires_grad_(False)
        if weights.cycle > 0 and step % config.cycle_every == 0:
            again = self._encode_render(phase, codes)
            terms["cycle"] = weights.cycle * sum(
                codes_loss(codes, again, self.weights, self.distance).values()
            )
        if weights.swap > 0 and step % config.swap_every == 0 and len(batch.rows) > 1:
            attribute = self.seen[int(torch.randint(len(self.seen), ()))]
            swapped, _ = swap_targets(codes, attribute)
            again = self._encode_render(phase, swapped)
            distances = codes_loss(again, swapped, self.weights, self.distance)
            terms["swap"] = weights.swap * 2 * sum(distances.values())
        for parameter in learning:
            parameter.requires_grad_(True)
        return terms

    def encode(self, batch: Batch) -> Codes:
        """Codes of the photos of a batch."""
        photo = batch.photo.to(self.device)
        return self.encoder(photo, batch.points.to(self.device) * photo.shape[-1])

    def render(self, phase: Phase, codes: Codes, coarse: bool = False) -> Rendering:
        """Renders at the size of a phase; ``coarse`` with the fewer rays of L_cyc and L_dis."""
        rays = phase.ray_size
        if coarse and self.config.cycle_ray_size:
            rays = min(self.config.cycle_ray_size, rays or self.decoder.config.ray_size)
        return self.decoder(codes, ray_size=rays or None, levels=phase.levels or None, jitter=True)

    def image_size(self, phase: Phase) -> int:
        """Pixels along a side of the images of a phase."""
        config = self.decoder.config
        return (phase.ray_size or config.ray_size) * 2 ** (phase.levels or config.levels)

    def partners(self, phase: Phase) -> float:
        """Share of a phase's items that are rendered with the shape code of another photo of the person."""
        return self.config.partner_share if self.config.draws(phase) else 0.0

    def _image_terms(self, phase: Phase, step: int, rendering: Rendering, batch: Batch) -> Terms:
        """L_pix, L_perc, L_id and the priors on one rendering (eq. 4 to 6)."""
        weights, image = self.config.weights_of(phase), rendering.image
        target, mask = batch.target.to(self.device), batch.mask.to(self.device)
        terms = {"pixel": weights.pixel * pixel_loss(image, target, mask)}
        if weights.white > 0:
            terms["white"] = weights.white * pixel_loss(image, target, 1 - mask)
        if weights.edges > 0:
            terms["edges"] = weights.edges * edges_loss(image, target, mask)
        if weights.features > 0:
            points = batch.points.to(self.device)
            terms["features"] = weights.features * features_loss(image, target, mask, points)
        if weights.opacity > 0:
            terms["opacity"] = weights.opacity * opacity_loss(rendering.opacity, mask)
        if weights.depth > 0:
            depth = depth_loss(rendering.distance, rendering.opacity, batch.depth.to(self.device))
            terms["depth"] = weights.depth * depth
        if self.perceptual is not None and weights.perceptual > 0:
            some = _first(len(image), self.config.perceptual_share)
            terms["perceptual"] = weights.perceptual * self._perceptual(image[some], target[some])
        count = round(len(image) * self.config.identity_share)
        turn = step % self.config.identity_every == 0
        if self.recogniser is not None and weights.identity > 0 and count and turn:
            points = batch.points[:count].to(self.device) * image.shape[-1]
            with torch.no_grad():
                wanted = self.recogniser.embed(target[:count], points, mirror=False)
            found = self.recogniser.embed(image[:count], points, mirror=False)
            terms["identity"] = weights.identity * identity_loss(found, wanted)
        return terms

    def _hair_term(self, phase: Phase, codes: Codes, batch: Batch) -> Tensor:
        weights, some = self.config.weights_of(phase), _first(len(batch.rows), self.config.hair_share)
        image = self.render(phase, transplants(codes)[some]).image
        target, mask, hair = (x[some].to(self.device) for x in (batch.target, batch.mask, batch.hair))
        inside, outside = hair_loss(image, target, mask, hair)
        return weights.hair * (weights.pixel * inside + weights.white * outside)

    def _view_term(self, phase: Phase, codes: Codes, batch: Batch, known: Codes) -> Tensor:
        """Image losses of turned heads, pixels looked up where they moved to; the poses are the book's."""
        weights, some = self.config.weights_of(phase), _first(len(batch.rows), self.config.view_share)
        target, mask, hair, depth = (
            x[some].to(self.device) for x in (batch.target, batch.mask, batch.hair, batch.depth)
        )
        posed = codes[some].replace(rotation=known.rotation[some], translation=known.translation[some])
        rotation = random_rotation(posed.rotation)
        image = self.render(phase, turn(posed, rotation)).image
        grid, visible, placed = where_pixels_go(depth, posed, rotation, image.shape[-1])
        face = (mask - hair).clamp_min(0)
        empty = must_be_empty(grid, face * placed, (1 - face) * placed, rotation[:, 1] - posed.rotation[:, 1])
        visible = visible * face  # the mesh does not know where hair is
        outside = ((1 - image) * empty).mean(1).sum() / (visible + empty).sum().clamp_min(1.0)
        image = F.grid_sample(image, grid, align_corners=False) * visible + target * (1 - visible)
        total = weights.pixel * (pixel_loss(image, target, visible) + outside)
        total = total + weights.edges * edges_loss(image, target, visible)
        if self.perceptual is not None and weights.perceptual > 0:
            total = total + weights.perceptual * self._perceptual(image, target)
        return weights.view * total

    def _perceptual(self, image: Tensor, target: Tensor) -> Tensor:
        a, b = self._perceptual_crop(image, target)
        with torch.no_grad():
            wanted = self.perceptual.taps(b)
        return perceptual_loss(self.perceptual.taps(a), wanted)

    def _perceptual_crop(self, image: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        side, crop = image.shape[-1], self.config.perceptual_crop
        if not crop or crop >= side:
            return image, target
        # Anywhere within the face window; the corners of the image hold little.
        low, high = round(0.1 * side), max(round(0.95 * side) - crop, round(0.1 * side) + 1)
        y, x = (int(v) for v in torch.randint(low, high, (2,)))
        return (t[..., y : y + crop, x : x + crop] for t in (image, target))

    def _encode_render(self, phase: Phase, codes: Codes) -> Codes:
        image = self.render(phase, codes, coarse=True).image
        if image.shape[-1] < 128:
            image = F.interpolate(image, size=(128, 128), mode="bilinear", align_corners=False)
        return self.encoder(image)

    def _with_partners(self, codes: Codes, batch: Batch) -> Codes:
        """Some items take their shape code from another photo of the same person."""
        chosen = batch.partnered
        if chosen is None or not chosen.any():
            return codes
        at = chosen.nonzero()[:, 0].to(self.device)  # a mask would make a GPU wait for its count
        photo = batch.partner.to(self.device)[at]
        points = batch.partner_points.to(self.device)[at] * photo.shape[-1]
        shape = codes.shape.index_put((at,), self.encoder.heads["shape"](photo, points))
        return codes.replace(shape=shape)

    def _with_book(self, phase: Phase, codes: Codes, known: Codes) -> Codes:
        """Some items take some codes from the code book: its poses are exact, the heads' are not yet."""
        replaced = {}
        for name, share in phase.book_share.items():
            chosen = torch.rand(len(codes), 1, device=self.device) < share
            replaced[name] = torch.where(chosen, getattr(known, name), getattr(codes, name))
        return codes.replace(**replaced) if replaced else codes


def _first(count: int, share: float) -> slice:
    """The first items of a batch, a share of it but at least one."""
    return slice(max(round(count * share), 1))

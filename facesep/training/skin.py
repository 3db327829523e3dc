"""Skin out of the light code: a closed form that moves what the texture code tells of it.

One photo does not tell dark skin from dim light, so heads that were trained on single photos call much of
skin light. In a studio session everyone has the same lamps: what differs there between the light codes of
people is skin. Ridge regression predicts these differences from those of the texture codes, ``l ~ A t``, and
is held back where the texture code itself follows the light, which other photos of a person and copies of a
photo under another light show:

    min_A  E |(l - mean l) - A (t - mean t)|^2 + m E |A (t' - t)|^2 + p E |A (t" - t)|^2 + r |A|^2

with means over a session, t' the texture code of a relit copy and t" that of a photo of the same person in
another set. Then ``l - A t`` is the new illumination code. A decoder that reads ``W_t t + W_l l`` reads the
same from the new codes with ``W_t + W_l A`` for texture, so that a photo's render stays as it is, while
swapping texture swaps the tone of skin.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from facesep.analysis.relight import relit_copies
from facesep.attributes import TRAITS
from facesep.codes import Codes
from facesep.data.heads import ShardPhotos, spread
from facesep.errors import DataError
from facesep.model import FaceSep
from facesep.nets.field import Field

LEAST = 20
"""Photos of a session."""


@dataclass(frozen=True)
class Weights:
    """Weights of the terms.

    Attributes:
        relit: m, of what relit copies change.
        person: p, of what other photos of a person change.
        ridge: r, as a share of the mean variance of a texture number within sessions.
    """

    relit: float = 1.0
    person: float = 0.1
    ridge: float = 0.01


@dataclass(frozen=True)
class Samples:
    """What the closed form is fitted to.

    Attributes:
        sessions: codes of photos under the same lamps, a batch for each session; all weigh the same.
        relit: ``Tensor[M, 80]``, changes of the texture code by relighting.
        person: ``Tensor[P, 80]``, differences of the texture codes of two photos of a person.
    """

    sessions: Sequence[Codes]
    relit: Tensor
    person: Tensor


def fit_skin(samples: Samples, weights: Weights | None = None) -> Tensor:
    """The part of the light code that goes with texture.

    Returns:
        A, ``float32 Tensor[27, 80]``.

    Raises:
        DataError: for a session of less than ``LEAST`` photos, or none.
    """
    weights, sessions = weights or Weights(), samples.sessions
    if not sessions or min(map(len, sessions)) < LEAST:
        raise DataError(f"each session needs at least {LEAST} photos, of many people")
    texture, light = (
        [(code - code.mean(0)).double() for code in (getattr(one, name) for one in sessions)]
        for name in ("texture", "illumination")
    )
    within = sum(t.mT @ t / len(t) for t in texture) / len(sessions)
    both = sum(t.mT @ one / len(t) for t, one in zip(texture, light, strict=True)) / len(sessions)
    penalty = weights.ridge * within.diagonal().mean() * torch.eye(len(within), dtype=within.dtype)
    for weight, moved in ((weights.relit, samples.relit), (weights.person, samples.person)):
        penalty = penalty + weight * moved.double().mT @ moved.double() / max(len(moved), 1)
    return torch.linalg.solve(within + penalty, both).mT.float()


def without_skin(sep: FaceSep, weight: Tensor) -> FaceSep:
    """A model with another basis of its texture and illumination codes; its renders of photos are the same.

    Args:
        sep: the model; it stays as it is.
        weight: A of ``fit_skin``. What was taken out before stays out.

    Raises:
        ConfigError: for a model whose heads are not light ones.
    """
    found = _copy(sep, skin=True)
    found.encoder.load_state_dict({"skin": found.encoder.skin, **sep.encoder.state_dict()})
    found.encoder.skin += weight
    _add(found, weight)
    return found


def with_skin(sep: FaceSep) -> FaceSep:
    """The model before ``without_skin``, whose light codes mean what the labels do; itself if it is that."""
    weight = getattr(sep.encoder, "skin", None)
    if weight is None:
        return sep
    found = _copy(sep, skin=False)
    found.encoder.load_state_dict({k: v for k, v in sep.encoder.state_dict().items() if k != "skin"})
    _add(found, -weight)
    return found


def _copy(sep: FaceSep, skin: bool) -> FaceSep:
    """The model with its decoder and the parts beside it; the encoder is a new one."""
    encoder = dataclasses.replace(sep.config.encoder, skin=skin)
    extras = {name: one for name, one in sep.extras.items() if name == "train_config"}
    found = FaceSep(dataclasses.replace(sep.config, encoder=encoder), extras)
    found.decoder.load_state_dict(sep.decoder.state_dict())
    found.landmarks = sep.landmarks
    found._refiner, found._refiner_home = sep._refiner, sep._refiner_home
    return found


def _add(sep: FaceSep, weight: Tensor) -> None:
    """Lets texture do to the decoder what ``A t`` of the light did."""
    sizes = [TRAITS[name].size for name in sep.decoder.appearance]
    for columns in _columns(sep.decoder.field):
        texture, light = columns.split(sizes, 1)
        texture += light @ weight


def _columns(field: Field) -> Iterator[Tensor]:
    """The weights of a field that read the appearance code."""
    yield field.colour_1.weight.data[:, field.colour_0.out_features :]
    if field.modulation is not None:
        yield field.modulation[-1].weight.data


def read_samples(
    sep: FaceSep,
    photos: ShardPhotos,
    studios: Sequence[str],
    relit: int,
    without: Container[str] = (),
    on_photo: Callable[[int, int], object] | None = None,
) -> Samples:
    """Codes of the photos of one split, and of copies of some of them under another light.

    Args:
        sep: the model.
        photos: of the training split.
        studios: sets in which everyone has the same lamps, each one session.
        relit: how many photos are relit, taken evenly.
        without: names of sets that are left out.
        on_photo: called with the numbers of photos done and to do.

    Raises:
        DataError: if there are less than ``LEAST`` photos of a session.
    """
    metas = [photos.shards.meta(row) for row in photos.rows]
    places = [place for place, meta in enumerate(metas) if meta.get("set") not in without]
    chosen = {places[k] for k in spread(len(places), relit)}
    pairs = _pairs({place: (metas[place].get("person"), metas[place].get("set")) for place in places})
    sessions = [[place for place in places if metas[place].get("set") == name] for name in studios]
    for name, session in zip(studios, sessions, strict=True):
        if len(session) < LEAST:
            raise DataError(f"{name}: {len(session)} photos of this set, at least {LEAST} are needed")
    needed = sorted(chosen.union(*pairs, *sessions))
    codes, changes = {}, [torch.zeros(0, TRAITS["texture"].size)]
    for done, place in enumerate(needed, 1):
        photo = photos.read(place)
        found = codes[place] = sep.encode(photo.aligned)
        if place in chosen:
            copies = relit_copies(sep.decoder, found, photo, photos.face(place))
            changes.append(sep.encode(copies).texture - found.texture)
        if on_photo:
            on_photo(done, len(needed))
    others = [codes[a].texture - codes[b].texture for a, b in pairs]
    return Samples(
        [Codes.stack([codes[place] for place in session]) for session in sessions],
        torch.cat(changes),
        torch.stack(others) if others else changes[0],
    )


def _pairs(photos: Mapping[int, tuple[str | None, str | None]]) -> list[tuple[int, int]]:
    """All pairs of photos, given as (person, set) by place, of one person in two sets."""
    people: dict[str, list[int]] = {}
    for place, (person, _) in photos.items():
        if person:
            people.setdefault(person, []).append(place)
    pairs = (pair for places in people.values() for pair in itertools.combinations(places, 2))
    return [(a, b) for a, b in pairs if photos[a][1] != photos[b][1]]

"""The Finish network: photos stay, batches are their items, any size and type, gradients."""

from __future__ import annotations

import pytest
import torch

from facesep.nets.finish import SURE, Draft, Finish, share


def drawn(seed: int = 0) -> Finish:
    """A network that changes much: none of its weights is zero."""
    torch.manual_seed(seed)
    network = Finish().eval()
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)
    return network


def draft(count: int = 1, size: int = 64, seed: int = 1) -> Draft:
    generator = torch.Generator().manual_seed(seed)
    pixels = (torch.rand(count, c, size, size, generator=generator) for c in (3, 1, 1, 1, 3, 3, 1))
    return Draft(*pixels, torch.randn(count, 3, 32, 32, generator=generator))


@torch.no_grad()
def test_what_the_photo_shows_stays_bit_for_bit():
    network, given = drawn(), draft()
    sure = given._replace(confidence=torch.ones_like(given.confidence))
    assert torch.equal(network(sure), sure.colours)
    found = network(given)
    kept = (given.confidence >= SURE).expand_as(found)
    assert kept.any() and torch.equal(found[kept], given.colours[kept])
    assert (found - given.colours)[~kept].abs().max() > 0.1
    assert found.min() >= 0 and found.max() <= 1


def test_the_share_of_the_network_is_a_ramp():
    found = share(torch.tensor([0.0, 0.5, 0.7, 0.9, 1.0]))
    torch.testing.assert_close(found, torch.tensor([1.0, 1.0, 0.5, 0.0, 0.0]))


@torch.no_grad()
def test_an_untrained_network_takes_half_of_the_mirrored_head():
    given = draft()
    part = 0.5 * given.known * share(given.confidence)
    wanted = torch.lerp(given.colours, given.mirrored, part)
    torch.testing.assert_close(Finish()(given), wanted)


@torch.no_grad()
def test_a_batch_is_its_items():
    network, given = drawn(), draft(3)
    apart = torch.cat([network(Draft(*(each[i : i + 1] for each in given))) for i in range(3)])
    torch.testing.assert_close(network(given), apart, atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("size", [16, 50, 128])
def test_any_size(size):
    given = draft(size=size)
    assert drawn()(given).shape == given.colours.shape


@torch.no_grad()
def test_what_is_far_away_does_not_matter_at_any_place():
    """Fully convolutional: a drawing moved by whole coarse cells is finished alike."""
    network, size, by = drawn(), 512, 64
    plain = Draft(
        *(torch.full((1, c, size, size), 0.2) for c in (3, 1, 1, 1, 3, 3, 1)), torch.zeros(1, 3, 128, 128)
    )
    spot = draft(size=64).colours
    found = []
    for at in (192, 192 + by):
        colours = plain.colours.clone()
        colours[..., at : at + 64, at : at + 64] = spot
        found.append(network(plain._replace(colours=colours))[..., at : at + 64, at : at + 64])
    torch.testing.assert_close(found[0], found[1], atol=1e-3, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_types(dtype):
    given = draft()
    found = drawn().to(dtype)(given)
    torch.testing.assert_close(found, drawn()(given), atol=0.05, rtol=0)
    assert found.dtype == torch.float32


def test_gradients_reach_every_weight_and_the_draft():
    network, given = drawn(), draft()
    given.colours.requires_grad_(True)
    network(given).square().sum().backward()
    assert given.colours.grad.abs().max() > 0
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in network.parameters())


def test_it_is_small():
    assert 2 * sum(p.numel() for p in Finish().parameters()) <= 6e6  # bytes in half precision

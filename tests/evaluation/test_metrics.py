"""Metrics on closed cases and against scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from credited import photo_pair

from facesep.evaluation.metrics import l1, psnr, ssim, ssim_map


def test_identical_pictures():
    a = torch.rand(2, 3, 20, 24, dtype=torch.float64)
    mask = torch.rand(2, 1, 20, 24)
    assert l1(a, a).tolist() == [0, 0] and l1(a, a, mask).tolist() == [0, 0]
    assert psnr(a, a).tolist() == [float("inf")] * 2
    torch.testing.assert_close(ssim(a, a), torch.ones(2, dtype=torch.float64))
    torch.testing.assert_close(ssim(a, a, mask), torch.ones(2, dtype=torch.float64))


def test_known_offset():
    a = torch.rand(1, 3, 16, 16) / 2
    assert l1(a, a + 0.25).item() == pytest.approx(0.25, rel=1e-5)
    assert psnr(a, a + 0.1).item() == pytest.approx(20.0, rel=1e-4)


def test_known_shift():
    """A ramp of 1/40 per pixel moved by 3 pixels differs by 3/40 everywhere."""
    ramp = (torch.arange(40.0) / 40).expand(1, 3, 30, 40)
    a, b = ramp[..., 3:], ramp[..., :-3]
    assert l1(a, b).item() == pytest.approx(3 / 40, rel=1e-5)
    assert psnr(a, b).item() == pytest.approx(-20 * np.log10(3 / 40), rel=1e-5)


def test_known_noise():
    """The mean absolute value of a normal variable is sigma sqrt(2 / pi)."""
    torch.manual_seed(0)
    a, sigma = torch.full((1, 3, 200, 200), 0.5), 0.05
    b = a + sigma * torch.randn_like(a)
    assert l1(a, b).item() == pytest.approx(sigma * np.sqrt(2 / np.pi), rel=0.01)
    assert psnr(a, b).item() == pytest.approx(-20 * np.log10(sigma), abs=0.1)


def test_a_mask_hides_what_it_leaves_out():
    a, b = torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 32, 32)
    b[..., :16] = 1.0
    mask = torch.zeros(1, 1, 32, 32)
    mask[..., 16:] = 1.0
    assert l1(a, b, mask).item() == 0.0 and l1(a, b, 1 - mask).item() == 1.0 and l1(a, b).item() == 0.5
    mask[..., :22] = 0.0  # windows centred here see nothing of the left half
    assert ssim(a, b, mask).item() == pytest.approx(1.0)
    assert torch.isnan(l1(a, b, torch.zeros_like(mask))).item()


def test_ssim_of_flat_pictures():
    """Without variance only the first factor is left: (2 x y + c) / (x^2 + y^2 + c)."""
    x, y, c = 0.3, 0.7, 0.01**2
    a, b = (torch.full((1, 1, 12, 15), v, dtype=torch.float64) for v in (x, y))
    assert ssim(a, b).item() == pytest.approx((2 * x * y + c) / (x * x + y * y + c), rel=1e-9)


@pytest.mark.parametrize("change", ["noise", "shift", "darker"])
def test_ssim_agrees_with_scikit_image(change):
    metrics = pytest.importorskip("skimage.metrics")
    a, b = photo_pair(change)
    expected, full = metrics.structural_similarity(
        a,
        b,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=1.0,
        channel_axis=-1,
        full=True,
    )
    ours = [torch.from_numpy(image).permute(2, 0, 1)[None].double() for image in (a, b)]
    assert ssim(*ours).item() == pytest.approx(expected, abs=1e-9)
    inner = full[5:-5, 5:-5].transpose(2, 0, 1)
    np.testing.assert_allclose(ssim_map(*ours)[0].numpy(), inner, atol=1e-9)
    single = [image.float() for image in ours]
    assert ssim(*single).item() == pytest.approx(expected, abs=1e-4)  # the accuracy of float32


@pytest.mark.parametrize("change", ["noise", "shift"])
def test_psnr_agrees_with_scikit_image(change):
    metrics = pytest.importorskip("skimage.metrics")
    a, b = photo_pair(change)
    ours = [torch.from_numpy(image).permute(2, 0, 1)[None] for image in (a, b)]
    assert psnr(*ours).item() == pytest.approx(
        metrics.peak_signal_noise_ratio(a, b, data_range=1.0), abs=1e-4
    )


@pytest.mark.parametrize("change", ["noise", "shift"])
def test_the_flat_window_agrees_with_scikit_image(change):
    metrics = pytest.importorskip("skimage.metrics")
    a, b = photo_pair(change)
    expected = metrics.structural_similarity(
        a, b, win_size=7, use_sample_covariance=False, data_range=1.0, channel_axis=-1
    )
    ours = [torch.from_numpy(image).permute(2, 0, 1)[None].double() for image in (a, b)]
    assert ssim(*ours, kind="flat").item() == pytest.approx(expected, abs=1e-9)
    assert ssim(*ours, torch.ones(1, 1, *a.shape[:2]), "flat").item() == pytest.approx(expected, abs=1e-9)

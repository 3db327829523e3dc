"""Soft mattes: the guided filter against regressions, edges where the photo has them, export."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from facesep.faces.matte import guided_filter, refine_mask, soft_matte
from facesep.nets.face_parser import CLASSES


def test_the_filter_is_a_mean_of_ridge_regressions() -> None:
    """At one size: numpy fits each window alone, and the fits that hold a pixel are averaged there."""
    torch.manual_seed(1)
    photo, mask = torch.rand(1, 3, 12, 12).double(), torch.rand(1, 1, 12, 12).double()
    radius, epsilon = 2, 0.02
    colour, wanted = photo[0].permute(1, 2, 0).numpy(), mask[0, 0].numpy()

    def window(y: int, x: int) -> tuple[slice, slice]:
        return slice(max(y - radius, 0), y + radius + 1), slice(max(x - radius, 0), x + radius + 1)

    fits = np.zeros((12, 12, 4))
    for y in range(12):
        for x in range(12):
            points, values = colour[window(y, x)].reshape(-1, 3), wanted[window(y, x)].reshape(-1)
            centred = points - points.mean(0)
            system = centred.T @ centred / len(points) + epsilon * np.eye(3)
            slope = np.linalg.solve(system, centred.T @ (values - values.mean()) / len(points))
            fits[y, x] = (*slope, values.mean() - slope @ points.mean(0))
    mean = np.array([[fits[window(y, x)].reshape(-1, 4).mean(0) for x in range(12)] for y in range(12)])
    expected = (mean[..., :3] * colour).sum(-1) + mean[..., 3]
    found = guided_filter(photo, mask, radius, epsilon)[0, 0].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-10)


@pytest.mark.parametrize("size", [128, 300, 512])
def test_a_blurred_edge_moves_to_the_photo_s(size: int) -> None:
    """The mask's edge is 1.5 cells off and soft; the photo's colours change within a pixel."""
    at = 0.5
    x = (torch.arange(size) + 0.5) / size
    photo = torch.where(x < at, 0.2, 0.8).expand(1, 3, size, size)
    cells = (torch.arange(128) + 0.5) / 128
    mask = torch.sigmoid((cells - at - 1.5 / 128) * 60).expand(1, 1, 128, 128)
    found = refine_mask(photo, mask)[0, 0, size // 2]
    edge = int((found > 0.5).nonzero()[0])
    plain = int((F.interpolate(mask, (size, size))[0, 0, size // 2] > 0.5).nonzero()[0])
    assert abs(edge - at * size) <= 1 < abs(plain - at * size)


def test_sure_masks_stay() -> None:
    photo = torch.rand(1, 3, 192, 192)
    for value in (0.0, 1.0):
        found = refine_mask(photo, torch.full((1, 1, 64, 64), value))
        assert (found == value).all()
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 32:] = 1.0
    mask[..., 31:33] = 0.5
    found = refine_mask(photo, mask)
    assert (found[..., : 3 * 22] == 0).all() and (found[..., 3 * 42 :] == 1).all()


def test_masks_batches_and_types_are_independent() -> None:
    torch.manual_seed(2)
    photo, mask = torch.rand(2, 3, 96, 96), torch.rand(2, 3, 48, 48)
    together = refine_mask(photo, mask)
    assert together.shape == (2, 3, 96, 96) and together.min() >= 0 and together.max() <= 1
    for b in range(2):
        for k in range(3):
            alone = refine_mask(photo[b : b + 1], mask[b : b + 1, k : k + 1])
            torch.testing.assert_close(alone, together[b : b + 1, k : k + 1])
    half = refine_mask(photo.bfloat16(), mask.bfloat16())
    assert half.dtype == torch.bfloat16 and (half.float() - together).abs().max() < 0.05


def test_gradients_flow() -> None:
    photo, mask = torch.rand(1, 3, 64, 64, requires_grad=True), torch.rand(1, 1, 32, 32, requires_grad=True)
    refine_mask(photo, mask).sum().backward()
    assert photo.grad.isfinite().all() and mask.grad.isfinite().all() and mask.grad.abs().sum() > 0


class Matte(torch.nn.Module):
    def forward(self, photo: torch.Tensor, probabilities: torch.Tensor) -> torch.Tensor:
        return soft_matte(photo, probabilities)


def test_the_exported_graph_says_the_same(tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from facesep.backends.exporter import write
    from facesep.backends.parts import Part

    torch.manual_seed(3)
    photo, probabilities = torch.rand(1, 3, 150, 150), torch.rand(1, len(CLASSES), 64, 64).softmax(1)
    module = Matte()
    inputs = {"photo": photo, "probabilities": probabilities}
    path = write(Part("matte", module, inputs, ("matte",), module, None), tmp_path)
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = torch.from_numpy(session.run(None, {name: x.numpy() for name, x in inputs.items()})[0])
    torch.testing.assert_close(found, module(photo, probabilities), atol=1 / 255, rtol=0)

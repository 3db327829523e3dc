"""Other programs compute what torch computes, and say clearly when they cannot."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import pytest
import torch

import facesep.backends as backends
from facesep import ConfigError, FaceSep
from facesep.codes import CODE_LENGTH, Codes
from facesep.config import preset
from facesep.nets.decoder import CHUNK

HERE = [name for name in ("openvino", "onnx") if not backends.missing(name)]


def codes(count: int = 2) -> Codes:
    vector = torch.randn(count, CODE_LENGTH, generator=torch.Generator().manual_seed(4)) * 0.4
    vector[:, -6:] *= 0.2
    return Codes.from_vector(vector)


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "modulated"])
def checkpoint(request, tmp_path_factory):
    torch.manual_seed(0)
    config = preset("tiny")
    decoder = dataclasses.replace(config.decoder, modulated=request.param)
    sep = FaceSep(dataclasses.replace(config, decoder=decoder))
    for layer in sep.decoder.field.modulation or ():
        torch.nn.init.normal_(layer.weight, std=0.5)
    for parameter in sep.decoder.upsampler.parameters():
        parameter.mul_(2)
    folder = tmp_path_factory.mktemp("backends") / "tiny"
    sep.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("name", ["openvino", "onnx"])
def test_a_backend_agrees_with_torch(checkpoint, name):
    if backends.missing(name):
        pytest.skip(f"{name} is not installed")
    usual = FaceSep.from_pretrained(checkpoint)
    fast = FaceSep.from_pretrained(checkpoint, backend=name)
    assert (usual.backend, fast.backend) == ("torch", name)
    assert "forward" in vars(fast.decoder.field) and "forward" not in vars(usual.decoder.field)
    wanted, found = (sep.render(codes(), output="tensor") for sep in (usual, fast))
    assert wanted.std() > 0.01 and wanted.shape == found.shape
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)
    turned = usual.render(codes(), yaw=40, output="tensor")  # another number of samples
    torch.testing.assert_close(fast.render(codes(), yaw=40, output="tensor"), turned, atol=1e-4, rtol=0)
    with torch.no_grad():
        batch = fast.decoder(codes()).image  # several faces at once
        small = fast.decoder(codes(), levels=1).image, usual.decoder(codes(), levels=1).image
    torch.testing.assert_close(batch, wanted, atol=1e-4, rtol=0)
    torch.testing.assert_close(*small, atol=1e-4, rtol=0)
    with pytest.raises(ConfigError, match="compiled"):
        fast.to("cpu")


@pytest.mark.skipif(not HERE, reason="no backend is installed")
def test_pieces_of_the_field_join(checkpoint):
    """More points than one graph takes, and a last piece that is not full."""
    usual, fast = FaceSep.from_pretrained(checkpoint), FaceSep.from_pretrained(checkpoint, backend=HERE[0])
    field = usual.decoder.field
    points = torch.randn(2, CHUNK + 5, 3)
    folded = field.folded(torch.randn(2, 592), torch.randn(2, 107))
    with torch.no_grad():
        for found, wanted in zip(fast.decoder.field(points, folded), field(points, folded), strict=True):
            torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.skipif("openvino" not in HERE, reason="openvino is not installed")
def test_openvino_in_bfloat16(checkpoint):
    usual = FaceSep.from_pretrained(checkpoint)
    fast = FaceSep.from_pretrained(checkpoint, backend="openvino", dtype=torch.bfloat16)
    wanted, found = (sep.render(codes(), output="tensor") for sep in (usual, fast))
    assert (found - wanted).square().mean() < 10**-4.0  # 40 dB


@pytest.mark.skipif("openvino" not in HERE, reason="openvino is not installed")
def test_openvino_reports_to_nobody(tmp_path):
    program = (
        "import sys; from facesep.backends.openvino import quiet_openvino; quiet_openvino(); "
        "print(sys.modules['openvino_telemetry'])"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        env={"PATH": "", "HOME": str(tmp_path), "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == "None"
    assert not list(tmp_path.iterdir())  # the reporting package would leave its identifier here


@pytest.mark.parametrize("name", ["openvino", "onnx"])
def test_export(checkpoint, tmp_path, name, capsys):
    if backends.missing(name):
        pytest.skip(f"{name} is not installed")
    from facesep.cli import main

    out = tmp_path / "out"
    command = ["export", "--checkpoint", str(checkpoint), "--format", name, "--output", str(out)]
    assert main([*command, "--json"]) == 0
    listed = json.loads((out / "export.json").read_text())
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"output": str(out), **listed}
    assert {part["name"] for part in listed["parts"]} == {"decoder.field", "decoder.upsampler"}
    assert {path.name for path in out.iterdir()} == {
        "export.json",
        *(file for part in listed["parts"] for file in part["files"]),
    }
    assert main(command) == 1  # the folder is there

    # The written renderer computes what ours does.
    sep = FaceSep.from_pretrained(checkpoint)
    part = next(part for part in listed["parts"] if part["name"] == "decoder.upsampler")
    features = torch.randn(part["inputs"]["features"])
    file = out / part["files"][0]
    if name == "onnx":
        import onnxruntime

        (found,) = onnxruntime.InferenceSession(file).run(["image"], {"features": features.numpy()})
    else:
        from facesep.backends.openvino import quiet_openvino

        options = {"INFERENCE_PRECISION_HINT": "f32"}
        found = (
            quiet_openvino()
            .Core()
            .compile_model(file, "CPU", options)({"features": features.numpy()})["image"]
        )
    torch.testing.assert_close(torch.from_numpy(found), sep.decoder.upsampler(features), atol=1e-3, rtol=0)


def test_what_cannot_be_done_is_said(checkpoint, monkeypatch):
    with pytest.raises(ConfigError, match="must be one of torch, openvino, onnx, graphs, auto"):
        FaceSep.from_pretrained(checkpoint, backend="tensorrt")
    monkeypatch.setattr(backends, "missing", lambda name: ["openvino"] if name == "openvino" else [])
    with pytest.raises(ConfigError, match=r"facesep\[openvino\]"):
        FaceSep.from_pretrained(checkpoint, backend="openvino")
    with pytest.warns(UserWarning, match="computes with torch: openvino is not installed"):
        assert FaceSep.from_pretrained(checkpoint, backend="auto").backend == "torch"
    for given in (("onnx", "cuda", torch.float32), ("onnx", "cpu", torch.bfloat16)):
        with pytest.raises(ConfigError, match="onnx"):
            backends.choose(*given)
    monkeypatch.setattr(backends, "missing", lambda name: [])
    with pytest.raises(ConfigError, match="float16"):
        backends.choose("openvino", "cpu", torch.float16)
    assert backends.choose("auto", "cuda", torch.float32) == "torch"
    assert backends.choose("auto", "cpu", torch.float32) == "openvino"

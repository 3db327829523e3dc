"""Importing official weight files: files are written here in the official layouts, with rule weights."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from golden import Golden, normal, uniform
from official import hollow, vgg19_state
from safetensors.torch import save_file
from tiny_data import write_tiny

from facesep.camera import rays
from facesep.config import DecoderConfig, EncoderConfig, preset
from facesep.errors import CheckpointError, ConfigError
from facesep.importers import (
    adaface,
    arcface,
    bisenet,
    ctrlhair,
    deep3d,
    difface,
    headnerf,
    identify,
    import_file,
)
from facesep.importers.paper import assemble
from facesep.nets.decoder import Decoder
from facesep.nets.field import Field
from facesep.nets.official.arcface import ArcFace
from facesep.nets.official.bisenet import BiSeNet
from facesep.nets.official.hair import HairEncoder
from facesep.nets.official.iresnet import IResNet
from facesep.nets.official.rnet import RNet
from facesep.nets.official.swinir import SwinIR
from facesep.nets.official.vgg19 import VGG19
from facesep.nets.paper_encoder import PaperEncoder

SCRIPT = Path(__file__).parents[1] / "train" / "import_weights.py"


def run_script(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=500)


@pytest.fixture(scope="module")
def ir18() -> dict[str, torch.Tensor]:
    return Golden("adaface_ir18").weights()


@pytest.fixture(scope="module")
def lightning_file(ir18, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("adaface") / "adaface_ir18.ckpt"
    state = {f"model.{key}": value for key, value in ir18.items()}
    state |= {"head.kernel": torch.zeros(512, 10), "head.t": torch.zeros(1)}
    torch.save({"epoch": 25, "state_dict": state, "hyper_parameters": {"arch": "ir_18", "m": 0.4}}, path)
    return path


# -- tables -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "build", "prefix"),
    [
        ("adaface_ir18", lambda: IResNet("ir18"), ""),
        ("adaface_ir50", lambda: IResNet("ir50"), ""),
        ("arcface_iresnet50", lambda: ArcFace("r50"), ""),
        ("rnet", RNet, ""),
        ("bisenet", BiSeNet, ""),
        ("ctrlhair", HairEncoder, "hair_encoder."),
        ("difface_swinir", SwinIR, ""),
    ],
)
def test_our_tables_are_the_official_key_lists(name, build, prefix):
    with torch.device("meta"):
        table = {prefix + key: list(value.shape) for key, value in build().state_dict().items()}
    assert table == {key: shape for key, shape, *_ in Golden(name).rows()}


@pytest.mark.parametrize("name", ["headnerf_paper", "headnerf_official"])
def test_the_headnerf_mapping_covers_the_official_key_list(name):
    golden = Golden(name)
    weights = hollow([(key, shape) for key, shape, *_ in golden.meta["keys"]])
    with torch.device("meta"):
        table = Decoder(DecoderConfig(image_size=256, hair=False)).state_dict()
    assert headnerf.to_decoder(weights).keys() == table.keys()
    with pytest.raises(KeyError):
        headnerf.rename("fg_CD_predictor.other.weight")


# -- adaface ----------------------------------------------------------------------------------------


def test_adaface_from_lightning_wants_rgb_afterwards(lightning_file, ir18):
    imported = adaface.load(lightning_file)
    assert imported.network == "adaface-ir18"
    assert "left out 2" in imported.notes[0]
    assert "BGR" in imported.notes[1]
    net = IResNet("ir18").eval()
    net.load_state_dict(imported.state)
    golden = Golden("adaface_ir18")
    bgr = 2 * uniform(21, 2, 3, 112, 112) - 1
    with torch.no_grad():
        golden.check("embedding", net(bgr.flip(1))[0])
        assert golden.error("embedding", net(bgr)[0]) > 100


def test_adaface_from_cvlface_is_rgb_already(ir18, tmp_path):
    path = tmp_path / "model.pt"
    torch.save({f"net.{key}": value for key, value in ir18.items()}, path)
    imported = adaface.load(path)
    assert imported.notes == []
    assert all(torch.equal(imported.state[key], value) for key, value in ir18.items())
    flipped = adaface.load(path, colour="bgr").state["input_layer.0.weight"]
    assert torch.equal(flipped, ir18["input_layer.0.weight"].flip(1))


def test_adaface_of_unknown_colour_must_be_told(ir18, tmp_path):
    save_file(ir18, tmp_path / "plain.safetensors")
    with pytest.raises(CheckpointError, match="--colour"):
        adaface.load(tmp_path / "plain.safetensors")
    assert adaface.load(tmp_path / "plain.safetensors", colour="rgb").network == "adaface-ir18"


def test_half_precision_and_missing_counters_are_fine(ir18, tmp_path):
    state = {f"net.{k}": v.half() for k, v in ir18.items() if not k.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "w.pt")
    imported = adaface.load(tmp_path / "w.pt")
    IResNet("ir18").load_state_dict(imported.state)
    assert imported.state["input_layer.0.weight"].dtype == torch.float32


# -- the others -------------------------------------------------------------------------------------


def test_deep3d_takes_net_recon_alone(tmp_path):
    weights = Golden("rnet").weights()
    path = tmp_path / "epoch_20.pth"
    torch.save({"net_recon": weights, "opt_00": {"state": {}}, "sched_00": {"last_epoch": 20}}, path)
    imported = deep3d.load(path)
    assert imported.state.keys() == weights.keys()
    assert all(torch.equal(imported.state[key], value) for key, value in weights.items())
    assert identify(path).origin == "deep3d"


@pytest.mark.parametrize("wrap", ["checkpoint", "plain"])
def test_ctrlhair_takes_the_encoder_out_of_the_generator(wrap, tmp_path):
    golden = Golden("ctrlhair")
    generator = hollow(golden.rows()) | {"hair_decoder.layers.0.conv.weight": torch.zeros(4, 4)}
    biases = {key: value for key, value in golden.weights().items() if key.endswith("bias")}
    generator |= biases
    path = tmp_path / "0500000.ckpt"
    if wrap == "checkpoint":  # CtrlHair's own file
        generator = {f"module.{key}": value for key, value in generator.items()}
        torch.save({"step": 500000, "Model_G": generator, "Model_D": {"a": torch.zeros(1)}}, path)
    else:  # the same generator as HairFastGAN ships it
        torch.save(generator, path)
    imported = ctrlhair.load(path)
    assert "1 tensors" in imported.notes[0]
    assert imported.state.keys() == HairEncoder(width=2).state_dict().keys()
    for key, value in biases.items():
        assert torch.equal(imported.state[key.removeprefix("hair_encoder.")], value)
    assert identify(path).title == "CtrlHair hair shape encoder (whole generator)"


def test_bisenet(tmp_path):
    weights = Golden("bisenet").weights()
    torch.save(weights, tmp_path / "79999_iter.pth")
    imported = bisenet.load(tmp_path / "79999_iter.pth")
    assert all(torch.equal(imported.state[key], value) for key, value in weights.items())
    assert identify(tmp_path / "79999_iter.pth").origin == "bisenet"


def test_arcface_is_written_for_the_losses(tmp_path):
    torch.manual_seed(0)
    net = ArcFace("r18").eval()
    torch.save(net.state_dict(), tmp_path / "backbone.pth")
    path, imported = import_file("arcface", tmp_path / "backbone.pth", tmp_path / "out")
    assert path.name == "arcface-r18.safetensors"
    loaded = ArcFace.from_file(path)
    image = uniform(1, 1, 3, 112, 112)
    assert torch.equal(loaded(image), net(image))
    assert not any(p.requires_grad for p in loaded.parameters())
    with pytest.raises(CheckpointError, match="arcface-r18"):
        VGG19.from_file(path)
    assert identify(tmp_path / "backbone.pth").title.endswith("(iresnet18)")
    assert arcface.matches(Golden("adaface_ir18").tensors) is None


def test_vgg19(tmp_path):
    state = vgg19_state()
    assert "features.34.weight" in state
    torch.save(state, tmp_path / "vgg19-dcbb9e9d.pth")
    path, _ = import_file("vgg19", tmp_path / "vgg19-dcbb9e9d.pth", tmp_path)
    taps = VGG19.from_file(path).taps(torch.zeros(1, 3, 32, 32))
    assert [tuple(t.shape[1:]) for t in taps] == [
        (64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4), (512, 2, 2)
    ]  # fmt: skip
    assert all((t == 0.5).all() for t in taps)
    assert identify(tmp_path / "vgg19-dcbb9e9d.pth").origin == "vgg19"
    sixteen = {key: value for key, value in state.items() if not key.startswith("features.3")}
    torch.save(sixteen, tmp_path / "vgg16.pth")
    assert identify(tmp_path / "vgg16.pth").origin == ""


def test_difface_estimator_drops_constant_buffers(tmp_path):
    golden = Golden("difface_swinir")
    state = hollow(golden.meta["keys"])
    assert len(state) == golden.meta["n_state_dict_entries"]
    torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}}, tmp_path / "s.pth")
    imported = difface.load(tmp_path / "s.pth")
    assert imported.network == "swinir"
    assert not any("mask" in key or "index" in key for key in imported.state)
    assert identify(tmp_path / "s.pth").title.endswith("(SwinIR estimator)")


@pytest.mark.slow
def test_difface_unet(tmp_path):
    pytest.importorskip("diffusers")
    golden = Golden("difface_unet")
    torch.save(hollow(golden.rows()), tmp_path / "u.pth")
    imported = difface.load(tmp_path / "u.pth")
    assert imported.network == "difface-unet"
    assert sum(v.numel() for v in imported.state.values()) == golden.meta["n_learned_elements"]
    torch.save(hollow(golden.rows()) | {"input_blocks.99.0.weight": torch.zeros(1)}, tmp_path / "u.pth")
    with pytest.raises(CheckpointError, match=r"input_blocks\.99"):
        difface.load(tmp_path / "u.pth")


# -- headnerf ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def headnerf_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("headnerf") / "model_Reso32.pth"
    golden = Golden("headnerf_official")
    taps = {key: torch.tensor([1.0, 2.0, 1.0]) for key in golden.meta["fixed"]}
    para = {"featmap_size": 32, "featmap_nc": 256, "pred_img_size": 256}
    torch.save({"para": para, "net": golden.weights() | taps}, path)
    return path


def test_headnerf_fills_what_does_not_see_codes(headnerf_file):
    """With any code the imported field equals the official one with its codes at zero."""
    imported = headnerf.load(headnerf_file)
    config = headnerf.planes(preset("paper").decoder)
    decoder = Decoder(config).requires_grad_(False)
    decoder.load_state_dict(imported.state)
    official = Field(config, 179, 127).requires_grad_(False)
    weights = headnerf.to_decoder(Golden("headnerf_official").weights())
    official.load_state_dict(
        {key.removeprefix("field."): value for key, value in weights.items() if key.startswith("field.")}
    )
    points = normal(1, 1, 50, 3)
    expected = official(points, official.folded(torch.zeros(1, 179), torch.zeros(1, 127)))
    found = decoder.field(points, decoder.field.folded(normal(2, 1, 592), normal(3, 1, 107)))
    for a, b in zip(found, expected, strict=True):
        assert torch.allclose(a, b, atol=1e-4)
    assert torch.equal(decoder.background, weights["background"])
    for key in ("upsampler.levels.2.out.weight", "upsampler.to_rgb.3.bias", "field.trunk.7.weight"):
        assert torch.equal(imported.state[key], weights[key])
    about_codes = [note for note in imported.notes if "columns" in note]
    assert [note.split(":")[0] for note in about_codes] == [
        "field.trunk.0.weight", "field.trunk.5.weight", "field.colour_1.weight"
    ]  # fmt: skip
    new = {note.split(":")[0] for note in imported.notes} - {note.split(":")[0] for note in about_codes}
    assert {key.rsplit(".", 2)[0].removesuffix(".layer_1") for key in new} >= {"upsampler.levels.3"}
    assert all(
        key.startswith(("upsampler.levels.3", "upsampler.levels.4", "upsampler.to_rgb")) for key in new
    )


def test_headnerf_at_its_own_size_is_whole(headnerf_file):
    imported = headnerf.load(headnerf_file, DecoderConfig(image_size=256))
    assert len(imported.notes) == 3  # the three layers that see codes
    assert identify(headnerf_file).title == "HeadNeRF decoder (32 x 32 rays, 256 px)"
    decoder = Decoder(headnerf.planes(DecoderConfig(image_size=256)))
    decoder.load_state_dict(imported.state)
    origins, directions = rays(torch.zeros(1, 3), torch.zeros(1, 3), 8)
    with torch.no_grad():
        image = decoder.render_rays(normal(1, 1, 592), normal(2, 1, 107), origins, directions).image
    assert image.shape == (1, 3, 64, 64)


def test_headnerf_of_other_rays_leaves_the_background(tmp_path):
    state = hollow(Golden("headnerf_official").meta["keys"])
    state["neural_render.bg_featmap"] = torch.zeros(1, 256, 64, 64)
    torch.save({"para": {}, "net": state}, tmp_path / "model_Reso64.pth")
    notes = headnerf.load(tmp_path / "model_Reso64.pth", DecoderConfig(image_size=256)).notes
    assert any(note.startswith("background: [1, 256, 64, 64] does not fit") for note in notes)


# -- the script -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_script_imports_one_network(lightning_file, tmp_path):
    result = run_script("adaface", lightning_file, "--out", tmp_path)
    assert result.returncode == 0, result.stderr
    assert "adaface-ir18.safetensors" in result.stdout
    assert "BGR" in result.stdout
    wrong = run_script("deep3d", lightning_file, "--out", tmp_path)
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("error: ")
    assert "Traceback" not in wrong.stderr


@pytest.mark.slow
def test_the_script_writes_the_papers_model(lightning_file, headnerf_file, tmp_path):
    for name, nest in (("rnet", "net_recon"), ("ctrlhair", "Model_G"), ("bisenet", None)):
        weights = Golden(name).weights()
        torch.save({nest: weights} if nest else weights, tmp_path / f"{name}.pth")
    result = run_script(
        "paper",
        *("--adaface", lightning_file, "--deep3d", tmp_path / "rnet.pth"),
        *("--ctrlhair", tmp_path / "ctrlhair.pth", "--bisenet", tmp_path / "bisenet.pth"),
        *("--headnerf", headnerf_file, "--image-size", 256, "--out", tmp_path / "model"),
    )
    assert result.returncode == 0, result.stderr
    for file in ("rnet.pth", "ctrlhair.pth", "bisenet.pth"):
        (tmp_path / file).unlink()

    from facesep.checkpoint import read_config, read_json, read_part, verify_checkpoint

    verify_checkpoint(tmp_path / "model")
    config = read_config(tmp_path / "model")
    assert config["encoder"]["recognition"] == "ir18"
    assert config["decoder"]["sampling"] == "planes"
    sources = read_json(tmp_path / "model", "train_config.json")["imported_from"]
    assert set(sources) == {"adaface", "deep3d", "ctrlhair", "bisenet", "headnerf"}
    assert str(tmp_path) not in json.dumps(sources)
    with torch.device("meta"):
        encoder = PaperEncoder(EncoderConfig(recognition="ir18"))
        decoder = Decoder(headnerf.planes(DecoderConfig(image_size=256)))
    decoder.load_state_dict(read_part(tmp_path / "model", "decoder", decoder.state_dict()), assign=True)
    encoder.load_state_dict(read_part(tmp_path / "model", "encoder", encoder.state_dict()), assign=True)

    from facesep.nets.official.hair import position_code

    encoder.heads["hair"].net.position = position_code(256)
    encoder.eval()
    # Each head computes what the official network computes on that head's own crop.
    golden = Golden("rnet")
    crop = uniform(10, 1, 3, 224, 224)
    with torch.no_grad():
        for attribute, part in {
            "expression": slice(80, 144),
            "texture": slice(144, 224),
            "rotation": slice(224, 227),
            "illumination": slice(227, 254),
            "translation": slice(254, 257),
        }.items():
            found = encoder.heads[attribute].from_crop(crop)
            assert (found - golden["coeff"][:1, part]).abs().max() < golden.meta["suggested_atol"]["coeff"]
        codes = encoder(uniform(1, 1, 3, 256, 256))
    assert codes.shape.norm().item() == pytest.approx(512**0.5, rel=1e-5)
    # ... and it is a place to start training from.
    shards, labels = write_tiny(tmp_path)
    (tmp_path / "run.yaml").write_text(
        "{preset: paper, batch_size: 2, micro_batch: 2, image_store: 64, schedule: ["
        "{kind: encoder, epochs: 0.2, ray_size: 8}]}"
    )
    command = [sys.executable, str(SCRIPT.with_name("em.py")), "--config", str(tmp_path / "run.yaml")]
    command += ["--shards", str(shards), "--labels", str(labels), "--out", str(tmp_path / "run")]
    result = subprocess.run(
        [*command, "--init", str(tmp_path / "model")], capture_output=True, text=True, timeout=500
    )
    assert result.returncode == 0, result.stderr
    assert read_config(tmp_path / "run" / "checkpoint") == config
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [(line["kind"], line["skipped"]) for line in lines] == [("encoder", 0)]


def test_without_a_parser_the_papers_model_cannot_see_hair():
    encoder = PaperEncoder(EncoderConfig(recognition="ir18", width=2, parser="none"))
    assert not any(".parser." in key for key in encoder.state_dict())
    with pytest.raises(ConfigError, match="--bisenet"):
        encoder.heads["hair"](torch.zeros(1, 3, 64, 64))


@pytest.mark.slow
def test_the_parser_is_optional_and_facexlibs_is_found(lightning_file, tmp_path, monkeypatch):
    files = []
    for name in ("rnet", "ctrlhair"):
        files.append(tmp_path / f"{name}.pth")
        torch.save(hollow(Golden(name).rows()), files[-1])
    monkeypatch.setattr("facesep.importers.paper.FACEXLIB_FILE", "weights/absent.pth")
    notes = assemble(tmp_path / "model", lightning_file, *files, image_size=256)
    assert any("cannot encode" in note for note in notes)
    assert any("untrained" in note for note in notes)
    config = json.loads((tmp_path / "model/config.json").read_text())
    assert config["encoder"]["parser"] == "none"
    assert config["decoder"]["sampling"] == "depth"
    # facexlib's folder, once it has fetched its parser
    package = tmp_path / "site/facexlib"
    (package / "weights").mkdir(parents=True)
    (package / "__init__.py").touch()
    torch.save(hollow(Golden("bisenet").rows()), package / "weights/parsing_bisenet.pth")
    monkeypatch.undo()
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.delitem(sys.modules, "facexlib", raising=False)
    assemble(tmp_path / "model", lightning_file, *files, image_size=256)
    config = json.loads((tmp_path / "model/config.json").read_text())
    assert config["encoder"]["parser"] == "bisenet"

"""The checkpoint folder: what is written comes back, and every deviation is refused by name."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from facesep.checkpoint import read_config, read_json, read_part, verify_checkpoint, write_checkpoint
from facesep.checksums import sha256
from facesep.errors import CheckpointError, ConfigError


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))


def write(folder: Path, seed: int = 0, **options) -> Path:
    parts = {"encoder": network(seed).state_dict(), "decoder": network(seed + 1).state_dict()}
    return write_checkpoint(folder, {"image_size": 64, "seed": seed}, parts, **options)


@pytest.fixture
def folder(tmp_path) -> Path:
    return write(tmp_path / "checkpoint", extra_json={"train_config.json": {"lr": 5e-4}}, card="# Card\n")


def read(folder: Path, part: str = "encoder", **options) -> dict[str, torch.Tensor]:
    return read_part(folder, part, network().state_dict(), **options)


def reseal(folder: Path) -> None:
    """Makes the checksums fit again, as somebody who changes a checkpoint on purpose would."""
    names = [p for p in folder.rglob("*") if p.suffix in (".json", ".safetensors")]
    table = {p.relative_to(folder).as_posix(): sha256(p) for p in names if p.name != "checksums.json"}
    (folder / "checksums.json").write_text(json.dumps(table))


def change_weights(folder: Path, change) -> None:
    path = folder / "encoder" / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    reseal(folder)


# -- what is written --------------------------------------------------------------------------------


def test_round_trip(folder):
    for part, seed in (("encoder", 0), ("decoder", 1)):
        expected = network(seed).state_dict()
        found = read(folder, part)
        assert list(found) == list(expected)
        for key, tensor in expected.items():
            assert torch.equal(found[key], tensor) and found[key].dtype == tensor.dtype
    network().load_state_dict(read(folder), strict=True)
    config = read_config(folder)
    assert config["image_size"] == 64 and config["format"] == 1 and config["facesep_version"]
    assert read_json(folder, "train_config.json") == {"lr": 5e-4}
    verify_checkpoint(folder)


def test_layout_and_checksums(folder):
    files = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    weights = ["decoder/model.safetensors", "encoder/model.safetensors"]
    assert files == sorted(["README.md", "checksums.json", "config.json", "train_config.json", *weights])
    table = json.loads((folder / "checksums.json").read_text())
    for name in [*weights, "config.json", "train_config.json"]:
        done = subprocess.run(["sha256sum", folder / name], capture_output=True, text=True, check=True)
        assert table.pop(name) == done.stdout.split()[0]
    assert table == {}


@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16, torch.float64])
def test_other_float_types(tmp_path, stored):
    folder = write(tmp_path / "checkpoint", dtype=stored)
    raw = load_file(folder / "encoder" / "model.safetensors")
    assert raw["0.weight"].dtype == stored and raw["1.num_batches_tracked"].dtype == torch.int64
    found = read(folder)
    assert torch.equal(found["0.weight"], network().state_dict()["0.weight"].to(stored).float())
    assert found["1.num_batches_tracked"].dtype == torch.int64
    assert read(folder, dtype=torch.float16)["0.weight"].dtype == torch.float16


def test_shared_strided_and_meta_tensors(tmp_path):
    base = torch.randn(6, 4)
    tensors = {"a": base, "b": base, "c": base.t(), "d": base[:, 1], "e": base.requires_grad_()}
    folder = write_checkpoint(tmp_path / "checkpoint", {}, {"net": tensors})
    expected = {key: tensor.to("meta") for key, tensor in tensors.items()}
    for key, tensor in read_part(folder, "net", expected).items():
        assert torch.equal(tensor, tensors[key]) and not tensor.requires_grad


# -- writing over what is there ---------------------------------------------------------------------


def test_replacing_keeps_other_files_and_drops_stale_descriptions(folder):
    (folder / "LICENSE").write_text("licence")
    (folder / "eval.json").write_text("{}")
    (folder / "refiner" / "unet").mkdir(parents=True)
    save_file({"w": torch.ones(2)}, folder / "refiner" / "unet" / "model.safetensors")
    write(folder, seed=5)
    assert read_config(folder)["seed"] == 5
    assert torch.equal(read(folder)["0.weight"], network(5).state_dict()["0.weight"])
    assert (folder / "LICENSE").read_text() == "licence"
    assert (folder / "README.md").read_text() == "# Card\n"
    assert not (folder / "eval.json").exists() and not (folder / "train_config.json").exists()
    assert torch.equal(read_part(folder, "refiner/unet", {"w": torch.zeros(2)})["w"], torch.ones(2))
    verify_checkpoint(folder)
    assert [p.name for p in folder.parent.iterdir()] == ["checkpoint"]


def test_hook_adds_files_under_checksums(tmp_path):
    def add(staging: Path) -> None:
        (staging / "refiner").mkdir()
        (staging / "refiner" / "config.json").write_text('{"steps": 4}')

    folder = write(tmp_path / "checkpoint", add=add, extra_json={"eval": {"tables": []}})
    assert read_json(folder, "eval.json") == {"tables": []}
    assert read_json(folder, "refiner/config.json") == {"steps": 4}


@pytest.mark.parametrize(
    "failure", [OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError("x")]
)
def test_failure_leaves_the_old_checkpoint(folder, monkeypatch, failure):
    def fail(*args, **kwargs):
        raise failure

    for target in ("facesep.checkpoint.save_file", "facesep.checkpoint.os.fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(target, fail)
            with pytest.raises(CheckpointError if isinstance(failure, OSError) else type(failure)):
                write(folder, seed=9)
        assert read_config(folder)["seed"] == 0
        verify_checkpoint(folder)
        assert [p.name for p in folder.parent.iterdir()] == ["checkpoint"]


def test_failed_exchange_is_undone(folder, monkeypatch):
    rename, calls = os.rename, []

    def fail_second(source, target):
        calls.append(source)
        if len(calls) == 2:
            raise OSError("no")
        rename(source, target)

    monkeypatch.setattr("facesep.checkpoint.os.rename", fail_second)
    with pytest.raises(CheckpointError):
        write(folder, seed=9)
    assert read_config(folder)["seed"] == 0 and len(calls) == 3
    assert [p.name for p in folder.parent.iterdir()] == ["checkpoint"]


@pytest.mark.slow
def test_kill_while_writing(folder):
    """A writer that is killed at any moment leaves a whole checkpoint."""
    script = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_checkpoint import write
from pathlib import Path
print("ready", flush=True)
seed = 100
while True:
    write(Path({str(folder)!r}), seed=seed)
    seed += 1
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as writer:
        writer.stdout.readline()
        time.sleep(0.5)
        writer.send_signal(signal.SIGKILL)
    # Between the two renames the old checkpoint lies beside, whole.
    whole = folder if folder.exists() else next(folder.parent.glob(".checkpoint.*.old"))
    verify_checkpoint(whole)
    seed = read_config(whole)["seed"]
    assert torch.equal(read(whole)["0.weight"], network(seed).state_dict()["0.weight"])
    assert seed >= 100


def test_other_folders_are_not_touched(tmp_path):
    (tmp_path / "thesis.doc").write_text("years of work")
    with pytest.raises(ConfigError, match="new or empty folder"):
        write(tmp_path)
    with pytest.raises(ConfigError, match="is a file"):
        write(tmp_path / "thesis.doc")
    assert (tmp_path / "thesis.doc").read_text() == "years of work"
    clone = tmp_path / "clone"
    (clone / ".git").mkdir(parents=True)
    (clone / ".git" / "HEAD").write_text("ref")
    write(clone)
    assert (clone / ".git" / "HEAD").read_text() == "ref"
    verify_checkpoint(clone)


def test_a_link_to_a_checkpoint_stays_a_link(folder, tmp_path):
    (tmp_path / "latest").symlink_to(folder)
    write(tmp_path / "latest", seed=3)
    assert (tmp_path / "latest").is_symlink() and read_config(folder)["seed"] == 3


def test_unusable_values_are_not_written(tmp_path):
    state = network().state_dict()
    state["2.bias"][0] = float("nan")
    with pytest.raises(CheckpointError, match=r"encoder: 2\.bias"):
        write_checkpoint(tmp_path / "a", {}, {"encoder": state})
    with pytest.raises(CheckpointError, match="big"):  # beyond the range of float16
        write_checkpoint(tmp_path / "a", {}, {"encoder": {"big": torch.tensor(1e6)}}, dtype=torch.float16)
    for value in (float("nan"), object()):
        with pytest.raises(CheckpointError, match="config.json"):
            write_checkpoint(tmp_path / "a", {"x": value}, {})
    assert not list(tmp_path.iterdir())


# -- what is refused --------------------------------------------------------------------------------


def test_missing_files(folder, tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint folder"):
        read_config(tmp_path / "missing")
    with pytest.raises(CheckpointError, match="refiner/model.safetensors is missing"):
        read(folder, "refiner")
    for name in ("encoder/model.safetensors", "config.json", "checksums.json"):
        copy = shutil.copytree(folder, tmp_path / name.replace("/", "-"))
        (copy / name).unlink()
        with pytest.raises(CheckpointError, match=f"{name} is missing"):
            verify_checkpoint(copy)
            read(copy)


@pytest.mark.parametrize("suffix", [".bin", ".pt", ".pth", ".pkl", ".ckpt"])
def test_pickle_in_its_place(folder, suffix):
    (folder / "encoder" / "model.safetensors").rename(folder / "encoder" / f"weights{suffix}")
    with pytest.raises(CheckpointError, match=rf"weights\{suffix} beside it is a pickle"):
        read(folder)


@pytest.mark.parametrize("name", ["encoder/model.safetensors", "config.json"])
def test_one_flipped_bit(folder, name):
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(CheckpointError, match=f"{name} is not the file that was published"):
        verify_checkpoint(folder)
    with pytest.raises(CheckpointError, match=name):
        read_config(folder)
        read(folder)


def test_cut_short(folder):
    path = folder / "encoder" / "model.safetensors"
    whole = path.read_bytes()
    for keep in (0, 4, 100, len(whole) - 4):
        path.write_bytes(whole[:keep])
        with pytest.raises(CheckpointError, match="not the file"):
            read(folder)
        reseal(folder)
        with pytest.raises(CheckpointError, match="damaged"):
            read(folder)


def test_wrong_keys_shapes_types_and_values(folder):
    def rename(tensors):
        tensors["2.wieght"] = tensors.pop("2.weight")

    change_weights(folder, rename)
    with pytest.raises(CheckpointError, match=r"encoder/model.safetensors misses 2\.weight"):
        read(folder)
    write(folder)
    change_weights(folder, lambda tensors: tensors.update(extra=torch.zeros(1)))
    with pytest.raises(CheckpointError, match="has unexpected extra"):
        read(folder)
    write(folder)
    change_weights(folder, lambda tensors: tensors.update({"2.bias": torch.zeros(3)}))
    with pytest.raises(CheckpointError, match=r"2\.bias has shape \[3\], expected \[2\]"):
        read(folder)
    for wrong in (torch.zeros(2, dtype=torch.int64), torch.zeros(2, dtype=torch.float8_e4m3fn)):
        write(folder)
        change_weights(folder, lambda tensors, wrong=wrong: tensors.update({"2.bias": wrong}))
        with pytest.raises(CheckpointError, match=r"2\.bias holds"):
            read(folder)
    write(folder)
    change_weights(folder, lambda tensors: tensors.update({"1.num_batches_tracked": torch.tensor(0.0)}))
    with pytest.raises(CheckpointError, match=r"num_batches_tracked holds F32"):
        read(folder)
    for value in (float("nan"), float("inf"), -float("inf")):
        write(folder)
        change_weights(folder, lambda tensors, value=value: tensors["2.bias"].fill_(value))
        with pytest.raises(CheckpointError, match=r"2\.bias holds values that are not finite"):
            read(folder)


def test_many_missing_keys_are_counted(folder):
    expected = network().state_dict() | {f"new.{i}": torch.zeros(1) for i in range(9)}
    with pytest.raises(CheckpointError, match=r"new\.0, .*new\.4 and 4 more"):
        read_part(folder, "encoder", expected)


def test_links_out_of_the_folder(folder, tmp_path):
    path = folder / "encoder" / "model.safetensors"
    path.rename(tmp_path / "elsewhere.safetensors")
    path.symlink_to(tmp_path / "elsewhere.safetensors")
    with pytest.raises(CheckpointError, match="outside the checkpoint"):
        read(folder)
    path.unlink()
    (folder / "real.safetensors").write_bytes((tmp_path / "elsewhere.safetensors").read_bytes())
    path.symlink_to("../real.safetensors")
    read(folder)
    for part in ("../other", "/etc"):
        with pytest.raises(CheckpointError, match="inside the checkpoint"):
            read(folder, part)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[1]", "not a JSON object"),
        ("{}", "format None"),
        ('{"format": "1"}', "format '1'"),
        ('{"format": true}', "format True"),
        ('{"format": 0}', "format 0"),
        ('{"format": 2, "facesep_version": "9.1"}', r"9\.1.*upgrade"),
    ],
)
def test_wrong_configurations(folder, text, message):
    (folder / "config.json").write_text(text)
    reseal(folder)
    with pytest.raises(CheckpointError, match=message):
        read_config(folder)


@pytest.mark.parametrize("text", ["", "[]", '{"config.json": 1}', '{"config.json": "abc"}', "{}"])
def test_wrong_checksum_tables(folder, text):
    (folder / "checksums.json").write_text(text)
    with pytest.raises(CheckpointError, match="checksums.json"):
        read_config(folder)


def test_weights_that_no_table_lists(folder):
    (folder / "late").mkdir()
    shutil.copy(folder / "encoder" / "model.safetensors", folder / "late")
    with pytest.raises(CheckpointError, match="does not list late"):
        read(folder, "late")

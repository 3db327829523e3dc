"""Pushing and pulling with the real client against a Hub on the loopback interface."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from fakehub import OTHER_TOKEN, TOKEN
from huggingface_hub import HfApi, ModelCard
from torch import nn

from facesep.checkpoint import read_config, read_part, verify_checkpoint, write_checkpoint
from facesep.errors import CheckpointError, ConfigError, HubError
from facesep.hub import CheckpointMixin, parse_repo, push, resolve

CARD = "---\nlicense: apache-2.0\nlibrary_name: facesep\n---\n# Toy\n"


class Toy(nn.Module, CheckpointMixin):
    """Two small networks, saved as the real model saves its own."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.width = width
        self.encoder, self.decoder = nn.Linear(width, 3), nn.Linear(3, width)

    def _save_pretrained(self, save_directory: Path) -> None:
        parts = {name: net.state_dict() for name, net in self.named_children()}
        write_checkpoint(save_directory, {"width": self.width}, parts, card=self.model_card())

    def model_card(self) -> str:
        return CARD

    @classmethod
    def _load(cls, folder: Path, device: str = "cpu") -> Toy:
        model = cls(read_config(folder)["width"])
        for name, net in model.named_children():
            net.load_state_dict(read_part(folder, name, net.state_dict()), strict=True)
        return model.to(device)


def toy(seed: int = 0, width: int = 4) -> Toy:
    torch.manual_seed(seed)
    return Toy(width)


def same(a: nn.Module, b: nn.Module) -> bool:
    left, right = a.state_dict(), b.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


def published(hub, tmp_path, seed: int = 0) -> dict[str, bytes]:
    """Puts a checkpoint on the Hub past the client and returns its files."""
    folder = tmp_path / f"source-{seed}"
    toy(seed).save_pretrained(folder)
    files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    hub.add("ada/toy", files)
    return files


# -- round trips ------------------------------------------------------------------------------------


def test_folder_round_trip(tmp_path):
    model = toy(width=7)
    assert model.save_pretrained(tmp_path / "toy") is None
    for name in (tmp_path / "toy", str(tmp_path / "toy")):
        assert same(Toy.from_pretrained(name), model)
    assert Toy.from_pretrained(tmp_path / "toy", device="meta").encoder.weight.is_meta
    config = json.loads((tmp_path / "toy" / "config.json").read_text())
    assert set(config) == {"format", "facesep_version", "width"}
    assert (tmp_path / "toy" / "README.md").read_text() == CARD


def test_hub_round_trip(hub):
    model = toy()
    url = model.push_to_hub("ada/toy", token=TOKEN, commit_message="First")
    assert url.startswith(f"{hub.url}/ada/toy/commit/")
    assert sorted(hub.repos["ada/toy"].commits[hub.repos["ada/toy"].branches["main"]]) == [
        ".gitattributes",
        "README.md",
        "checksums.json",
        "config.json",
        "decoder/model.safetensors",
        "encoder/model.safetensors",
    ]
    assert same(Toy.from_pretrained("ada/toy"), model)
    assert resolve("ada/toy").parent.name == "snapshots"


def test_save_and_push_at_once(hub, tmp_path):
    model = toy()
    url = model.save_pretrained(
        tmp_path / "toy", push_to_hub=True, repo_id="ada/toy", token=TOKEN, private=True
    )
    assert url and hub.repos["ada/toy"].private
    assert same(Toy.from_pretrained("ada/toy", token=TOKEN), model)
    with pytest.raises(ConfigError, match="repo_id"):
        model.save_pretrained(tmp_path / "other", push_to_hub=True)


def test_revisions(hub):
    models = [toy(seed) for seed in range(4)]
    first = models[0].push_to_hub("ada/toy", token=TOKEN).rpartition("/")[2]
    HfApi(token=TOKEN).create_tag("ada/toy", tag="v1")
    models[1].push_to_hub("ada/toy", token=TOKEN)
    models[2].push_to_hub("ada/toy", token=TOKEN, branch="train-a")
    models[3].push_to_hub("ada/toy", token=TOKEN, branch="train-a")
    for revision, model in ((first, 0), ("v1", 0), ("main", 1), ("train-a", 3)):
        assert same(Toy.from_pretrained(f"ada/toy@{revision}"), models[model]), revision
        assert same(Toy.from_pretrained("ada/toy", revision=revision), models[model]), revision
    assert same(Toy.from_pretrained("ada/toy"), models[1])


def test_only_our_files_travel(hub, tmp_path):
    files = published(hub, tmp_path)
    extra = {"pytorch_model.bin": b"pickle", "encoder/a.pt": b"pickle", "x.pkl": b"p", "run.py": b"print()"}
    extra["checkpoints/7/optimizer.safetensors"] = b"state"
    hub.add("ada/toy", files | extra)
    folder = resolve("ada/toy")
    assert {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} == set(files)
    assert not any(hub.requested(f"*{name}") for name in extra)

    local = tmp_path / "source-0"
    for name, data in extra.items():
        (local / name).parent.mkdir(parents=True, exist_ok=True)
        (local / name).write_bytes(data)
    (local / "LICENSE").write_text("licence")
    (local / ".env").write_text("secret")
    push(local, "ada/second", token=TOKEN)
    repo = hub.repos["ada/second"]
    assert set(repo.commits[repo.branches["main"]]) == {*files, "LICENSE", ".gitattributes"}


def test_a_checkpoint_inside_a_repository(hub, tmp_path):
    files = published(hub, tmp_path)
    toy(1).save_pretrained(tmp_path / "inner")
    inner = {p.relative_to(tmp_path / "inner").as_posix(): p for p in (tmp_path / "inner").rglob("*.*")}
    more = {f"checkpoints/001/{name}": path.read_bytes() for name, path in inner.items()}
    more["checkpoints/001/state/x.safetensors"] = b"state"
    sha = hub.add("ada/toy", files | more)
    for name in (
        "ada/toy:checkpoints/001",
        "ada/toy@main:checkpoints/001",
        f"ada/toy@{sha}:checkpoints/001/",
    ):
        assert same(Toy.from_pretrained(name), toy(1)), name
    assert not hub.requested("*/state/*") and not hub.requested(f"/ada/toy/resolve/{sha}/config.json")
    assert same(Toy.from_pretrained("ada/toy"), toy(0))


def test_pickles_alone_are_refused(hub, tmp_path):
    files = published(hub, tmp_path)
    weights = files.pop("encoder/model.safetensors")
    hub.add("ada/toy", files | {"encoder/model.bin": weights})
    with pytest.raises(CheckpointError, match=r"encoder/model.safetensors is missing"):
        Toy.from_pretrained("ada/toy")


def test_pushing_the_same_again_changes_nothing(hub):
    first, second = toy().push_to_hub("ada/toy", token=TOKEN), toy().push_to_hub("ada/toy", token=TOKEN)
    assert first == second


def test_unsound_folders_are_not_pushed(hub, tmp_path):
    toy().save_pretrained(tmp_path / "toy")
    weights = tmp_path / "toy" / "encoder" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="encoder/model.safetensors"):
        push(tmp_path / "toy", "ada/toy", token=TOKEN)
    assert not hub.log


# -- refusals of the Hub ----------------------------------------------------------------------------


def test_missing_repository_and_revision(hub, tmp_path):
    published(hub, tmp_path)
    for token in (None, TOKEN):
        with pytest.raises(HubError, match="ada/nothing does not exist or is private"):
            resolve("ada/nothing", token=token)
    with pytest.raises(HubError, match="ada/toy has no revision 'v9'"):
        resolve("ada/toy@v9")
    with pytest.raises(HubError, match="no revision"):
        resolve("ada/toy", revision="0" * 40)


def test_private_and_gated_repositories(hub, tmp_path):
    published(hub, tmp_path)
    hub.repos["ada/toy"].private = True
    for token in (None, False, OTHER_TOKEN, "hf_wrong"):
        with pytest.raises(HubError, match="hf auth login"):
            resolve("ada/toy", token=token)
    verify_checkpoint(resolve("ada/toy", token=TOKEN))
    hub.repos["ada/gated"] = hub.repos["ada/toy"]
    hub.repos["ada/gated"].private, hub.repos["ada/gated"].gated = False, True
    with pytest.raises(HubError, match="ada/gated asks for a request"):
        resolve("ada/gated", token=OTHER_TOKEN)


def test_pushing_without_the_right(hub, tmp_path):
    toy().save_pretrained(tmp_path / "toy")
    with pytest.raises(HubError, match="hf auth login"):
        push(tmp_path / "toy", "ada/toy")
    with pytest.raises(HubError, match="hf auth login"):
        push(tmp_path / "toy", "ada/toy", token=OTHER_TOKEN)
    published(hub, tmp_path)
    with pytest.raises(HubError, match="403"):
        push(tmp_path / "toy", "ada/toy", token=OTHER_TOKEN)


def test_somebody_else_was_faster(hub, tmp_path):
    published(hub, tmp_path)
    hub.fail("POST", "/api/models/ada/toy/commit/*", 412)
    with pytest.raises(HubError, match="changed by somebody else"):
        toy(1).push_to_hub("ada/toy", token=TOKEN)


def test_two_writers(hub, tmp_path):
    """The loopback Hub enforces what the message above promises."""
    published(hub, tmp_path)
    api, parent = HfApi(token=TOKEN), hub.repos["ada/toy"].branches["main"]
    options = {"path_in_repo": "eval.json", "repo_id": "ada/toy", "parent_commit": parent}
    api.upload_file(path_or_fileobj=b"{}", **options)
    with pytest.raises(Exception, match="412"):
        api.upload_file(path_or_fileobj=b"[]", **options)


# -- a Hub in trouble -------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [500, 503, 429])
def test_server_errors(hub, tmp_path, status):
    published(hub, tmp_path)
    hub.fail("GET", "/api/models/ada/toy*", status)
    with pytest.raises(HubError, match=rf"at the moment \({status}\)"):
        resolve("ada/toy")
    hub.fail("POST", "/api/repos/create", status)
    with pytest.raises(HubError, match=rf"\({status}\)"):
        toy().push_to_hub("ada/new", token=TOKEN)


def test_short_outages_are_survived(hub):
    hub.fail("POST", "*/preupload/*", 503, times=2)
    hub.fail("PUT", "/lfs/*", 500, times=2)
    model = toy()
    model.push_to_hub("ada/toy", token=TOKEN)
    assert same(Toy.from_pretrained("ada/toy"), model)


def test_broken_connection_is_resumed(hub, tmp_path):
    published(hub, tmp_path)
    hub.cut = [["encoder/model.safetensors", 3]]
    assert same(Toy.from_pretrained("ada/toy"), toy())
    assert hub.requested("/cdn/*/encoder/model.safetensors") >= 4


def test_download_cut_short(hub, tmp_path):
    published(hub, tmp_path)
    hub.short = ["encoder/*"]
    with pytest.raises(HubError, match="try again"):
        resolve("ada/toy")
    hub.short = []
    assert same(Toy.from_pretrained("ada/toy"), toy())


def test_nobody_listens(tmp_path):
    with pytest.raises(HubError, match="cannot be reached"):
        resolve("ada/toy", cache_dir=tmp_path)
    toy().save_pretrained(tmp_path / "toy")
    with pytest.raises(HubError, match="try again"):
        push(tmp_path / "toy", "ada/toy", token=TOKEN)


def test_cache_serves_when_the_hub_is_gone(hub, tmp_path):
    published(hub, tmp_path)
    resolve("ada/toy")
    calls = len(hub.log)
    assert same(Toy.from_pretrained("ada/toy", local_files_only=True), toy())
    assert len(hub.log) == calls
    hub.fail("GET", "*", 503)
    hub.fail("HEAD", "*", 503)
    assert same(Toy.from_pretrained("ada/toy"), toy())
    with pytest.raises(HubError, match="not in the cache"):
        resolve("ada/other", local_files_only=True)


def test_flipped_bit_in_the_cache(hub, tmp_path):
    published(hub, tmp_path)
    weights = resolve("ada/toy") / "encoder" / "model.safetensors"
    assert weights.is_symlink()
    blob = weights.resolve()
    data = bytearray(blob.read_bytes())
    data[-1] ^= 1
    blob.chmod(0o644)
    blob.write_bytes(data)
    with pytest.raises(CheckpointError, match="not the file that was published"):
        Toy.from_pretrained("ada/toy")
    assert same(Toy.from_pretrained("ada/toy", force_download=True), toy())


def test_shared_blobs_of_the_cache_are_accepted(hub, tmp_path):
    """Newer clients link a repository's blobs on to a store beside all repositories."""
    published(hub, tmp_path)
    folder = resolve("ada/toy")
    blob = (folder / "encoder" / "model.safetensors").resolve()
    store = folder.parents[2] / "blobs" / "ab"
    store.mkdir(parents=True)
    blob.rename(store / "abcdef")
    blob.symlink_to(store / "abcdef")
    assert same(Toy.from_pretrained("ada/toy", local_files_only=True), toy())


def test_offline_variable(hub, tmp_path):
    """HF_HUB_OFFLINE is read when the client is imported, so this needs a process of its own."""
    published(hub, tmp_path)
    cache = tmp_path / "cache"
    resolve("ada/toy", cache_dir=cache)
    script = """
import sys
from facesep.errors import HubError
from facesep.hub import resolve
print(resolve("ada/toy", cache_dir=sys.argv[1]).name)
try:
    resolve("ada/other", cache_dir=sys.argv[1])
except HubError as error:
    print(error)
"""
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    calls = len(hub.log)
    run = [sys.executable, "-c", script, str(cache)]
    done = subprocess.run(run, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.strip().split("\n")
    assert first == hub.repos["ada/toy"].branches["main"] and "unset HF_HUB_OFFLINE" in second
    assert len(hub.log) == calls


# -- names ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "",
        "mini",
        "../x",
        "./x",
        "/no/such/folder",
        "~/no/such/folder",
        "user/..",
        "user/re..po",
        "user/re--po",
        "user/repo/part",
        "user/repo@",
        "user/repo@..",
        "user/repo@a b",
        "user/repo@v1@v2",
        "user/repo:",
        "user/repo@v1:/etc",
        "user/repo@v1:a/../../b",
        "user/repo@v1:a:b",
        "user repo/x",
        "https://example.org/user/repo",
        "hf://user/repo",
        "user/repo\0",
        "user/repo\n",
        "usér/repo",
        "u" * 97 + "/repo",
        "user/" + "r" * 5000,
        "..\\x",
        "C:\\x",
    ],
)
def test_malformed_names(name):
    with pytest.raises(ConfigError, match="user/repo"):
        resolve(name)
    if name not in ("user/repo@v1", "user/repo@"):
        with pytest.raises(ConfigError, match="user/repo"):
            push(".", name, token=TOKEN)


def test_parsed_names():
    assert parse_repo("user/repo") == ("user/repo", None)
    assert parse_repo("User-1/re.po_2@v1.0") == ("User-1/re.po_2", "v1.0")
    assert parse_repo("a/b@refs/pr/3") == ("a/b", "refs/pr/3")


def test_folders_and_revisions(tmp_path, monkeypatch):
    toy().save_pretrained(tmp_path / "user" / "repo")
    monkeypatch.chdir(tmp_path)
    assert same(Toy.from_pretrained("user/repo"), toy())
    with pytest.raises(ConfigError, match="no revision"):
        resolve("user/repo", revision="v1")
    with pytest.raises(ConfigError, match="two revisions"):
        resolve("other/repo@v1", revision="v2")
    for revision in ("", "-x", "a b", "x" * 300, "a/../b"):
        with pytest.raises(ConfigError, match="revision"):
            resolve("other/repo", revision=revision)
    with pytest.raises(CheckpointError, match="is a file"):
        resolve(tmp_path / "user" / "repo" / "config.json")


# -- the base class ---------------------------------------------------------------------------------


def test_nothing_of_the_automatic_configuration_is_left():
    model = Toy(width=5)
    assert model._hub_mixin_config is None
    assert isinstance(model.generate_model_card(), ModelCard)
    assert str(model.generate_model_card()) == CARD.strip() or str(model.generate_model_card()) == CARD


def test_the_older_card_is_replaced(tmp_path):
    toy().save_pretrained(tmp_path / "toy")
    (tmp_path / "toy" / "README.md").write_text("old")
    toy().save_pretrained(tmp_path / "toy")
    assert (tmp_path / "toy" / "README.md").read_text() == CARD

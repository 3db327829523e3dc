"""Files that hold one network each: what the weight importer writes and the losses read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from facesep.errors import CheckpointError

FORMAT = "facesep-network-1"


def write_network(path: str | Path, network: str, state: Mapping[str, Tensor], origin: str = "") -> None:
    """Writes the weights of one network.

    Args:
        path: a ``.safetensors`` file.
        network: name of the network, such as ``arcface-r50``.
        state: its weights.
        origin: where they come from, for the reader.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    contiguous = {key: value.contiguous() for key, value in state.items()}
    save_file(contiguous, str(path), metadata={"format": FORMAT, "network": network, "origin": origin})


def read_network(path: str | Path, kind: str) -> tuple[str, dict[str, Tensor]]:
    """Reads what ``write_network`` wrote.

    Args:
        path: the file.
        kind: the network's name or the part before its dash (``arcface`` accepts ``arcface-r50``).

    Returns:
        The name and the weights.

    Raises:
        CheckpointError: if the file is missing, damaged or holds another network.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            name = metadata.get("network", "") if metadata.get("format") == FORMAT else ""
            if kind not in (name, name.split("-")[0]):
                raise CheckpointError(
                    f"{path} holds {name or 'no network of facesep'}, not {kind}: "
                    "write it with train/import_weights.py"
                )
            return name, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"cannot read {kind} from {path}: {error}") from error

"""The demo page: layout in ``facesep.demo.ui``, tabs in ``tabs/``, endpoints in ``facesep.demo.api``.

Gradio is imported when ``build`` is called.
"""

from __future__ import annotations

from typing import Any


def build(checkpoint: str | None = None) -> Any:
    """The page as a ``gradio.Blocks``, with its model loaded.

    Args:
        checkpoint: a folder or ``user/repo[@revision]``; by default the environment variable
            ``FACESEP_CHECKPOINT``, or the bundled one. ``FACESEP_CHECKPOINTS`` lists others, separated by
            commas, among which visitors may choose; they are loaded when they are first chosen.

    Raises:
        CheckpointError: if the checkpoint is missing, damaged or of another version.
    """
    import functools
    import os

    import torch

    from facesep.demo import actions, photos
    from facesep.demo.computing import compute
    from facesep.demo.examples import EXAMPLES, FOLDER
    from facesep.demo.models import BUNDLED, Models, listed
    from facesep.demo.ui import build_page
    from facesep.model import FaceSep

    device = "cuda" if torch.cuda.is_available() else "cpu"
    name = checkpoint or os.environ.get("FACESEP_CHECKPOINT") or None
    first = compute(FaceSep.from_pretrained, name, device=device)
    if device == "cpu":  # a Space may have a GPU only during calls
        # The first visitor does not wait for what every first call sets up.
        actions.picture(first, photos.read(first, FOLDER / EXAMPLES[0].source, 0).face)
        compute(first.moves)
    others = listed(os.environ.get("FACESEP_CHECKPOINTS", ""))
    load = functools.partial(FaceSep.from_pretrained, device=device)
    return build_page(Models(first, name or BUNDLED, others, load))


def launch(page: Any, server_name: str | None = None, **options: Any) -> Any:
    """Serves a page with the options that its promises depend on; see ``gradio.Blocks.launch``.

    Gradio asks the page's own address whether it has started. That never goes through a proxy, whatever the
    environment says.
    """
    import os

    own = ["localhost", "127.0.0.1", "::1", "0.0.0.0", server_name or os.environ.get("GRADIO_SERVER_NAME")]
    known = f"{os.environ.get('no_proxy', '')},{os.environ.get('NO_PROXY', '')}".split(",")
    direct = ",".join(dict.fromkeys(host.strip() for host in (*known, *own) if host and host.strip()))
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = direct
    return page.launch(server_name=server_name, **launch_options(), **options)


def launch_options() -> dict[str, Any]:
    """Arguments for ``launch`` that the promises of the page depend on."""
    from facesep.demo.ui import launch_options as options

    return options()

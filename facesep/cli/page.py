"""``demo``: the page in a browser."""

from __future__ import annotations

from argparse import Namespace
from importlib.util import find_spec

from facesep.errors import ConfigError


def demo(options: Namespace) -> None:
    """Serves the page until it is interrupted."""
    if find_spec("gradio") is None:
        raise ConfigError('the demo needs gradio: pip install "facesep[demo]"')
    from facesep.demo import build, launch_options

    page = build(options.checkpoint)
    page.launch(**launch_options(), server_name=options.host, server_port=options.port)

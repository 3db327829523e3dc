"""``demo``: the page in a browser."""

from __future__ import annotations

from argparse import Namespace
from importlib.util import find_spec

from facesep.checks import whole
from facesep.errors import ConfigError


def demo(options: Namespace) -> None:
    """Serves the page until it is interrupted."""
    if find_spec("gradio") is None:
        raise ConfigError('the demo needs gradio: pip install "facesep[demo]"')
    from facesep.demo import build, launch

    if options.port is not None:
        whole(options.port, "--port", 1, 65535)
    page = build(options.checkpoint)
    try:
        launch(page, server_name=options.host, server_port=options.port)
    except OSError as error:
        place = f"{options.host or 'this machine'}, port {options.port or 'any'}"
        raise ConfigError(f"cannot listen on {place}: choose another --port or --host") from error

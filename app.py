"""The demo as a Hugging Face Space, or on your own machine: ``python app.py``.

``FACESEP_CHECKPOINT`` names another checkpoint than the bundled one: a folder or ``user/repo@revision``.
``FACESEP_CHECKPOINTS`` lists further ones among which visitors may choose, separated by commas.
``GRADIO_MCP_SERVER=True`` offers the named endpoints as MCP tools, too; it needs gradio's extra ``mcp``.
``GRADIO_SERVER_NAME`` and ``GRADIO_SERVER_PORT`` say where to listen; a Space sets them itself.
"""

from __future__ import annotations

import contextlib
import sys

from facesep.demo import build, launch
from facesep.errors import FaceSepError

try:
    demo = build()
except FaceSepError as error:
    sys.exit(f"facesep: error: {error}")

if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):  # also while it starts
        launch(demo)

"""``python -m facesep.cli`` is the ``facesep`` command."""

from __future__ import annotations

import sys

from facesep.cli import main

sys.exit(main())

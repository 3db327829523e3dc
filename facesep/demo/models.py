"""The models that visitors may choose from: an allow-list, each loaded when it is first chosen."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from facesep.demo.gpu import remember
from facesep.errors import ConfigError
from facesep.model import FaceSep

BUNDLED = "bundled"
"""What the page calls the checkpoint that comes with facesep."""


class Models:
    """Models by name; names that are not listed are never looked up anywhere.

    Args:
        first: the model that visitors begin with.
        name: its name.
        others: checkpoints that may be chosen, folders or ``user/repo[@revision]``.
        load: loads one.
    """

    def __init__(
        self,
        first: FaceSep,
        name: str = BUNDLED,
        others: Iterable[str] = (),
        load: Callable[[str], FaceSep] = FaceSep.from_pretrained,
    ) -> None:
        self.names = tuple(dict.fromkeys((name, *others)))
        self._loaded, self._load, self._lock = {name: first}, load, threading.Lock()
        remember(first)

    @property
    def first(self) -> FaceSep:
        """The model that visitors begin with."""
        return self._loaded[self.names[0]]

    def get(self, name: str | None) -> FaceSep:
        """The model of a name; None is the first.

        Raises:
            ConfigError: for a name that is not on the list.
            CheckpointError: if it cannot be loaded.
        """
        if name is None:
            return self.first
        if name not in self.names:
            raise ConfigError(f"the model {str(name)[:80]!r} is not offered: choose {', '.join(self.names)}")
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = self._load(name)
                remember(self._loaded[name])
            return self._loaded[name]


def listed(text: str) -> list[str]:
    """Names of an allow-list, separated by commas or white space."""
    return text.replace(",", " ").split()

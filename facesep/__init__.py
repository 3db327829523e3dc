"""facesep: take a real face photo apart into seven codes, swap them, render from new views."""

__version__ = "0.1.0"

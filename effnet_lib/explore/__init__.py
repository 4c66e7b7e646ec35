"""Explorers: figures that a reader drags, in a notebook and in the built page alike."""

from .dimensions import dimensions_explorer
from .element import Explorer
from .phi import phi_explorer

__all__ = ["Explorer", "dimensions_explorer", "phi_explorer"]

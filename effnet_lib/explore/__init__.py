"""Explorers: figures that a reader drags, in a notebook and in the built page alike."""

from .element import Explorer
from .phi import phi_explorer
from .se import gates_explorer, se_explorer

__all__ = ["Explorer", "gates_explorer", "phi_explorer", "se_explorer"]

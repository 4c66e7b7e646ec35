"""Explorers: figures that a reader drags, in a notebook and in the built page alike."""

from .element import Explorer
from .network import network_explorer
from .phi import phi_explorer

__all__ = ["Explorer", "network_explorer", "phi_explorer"]

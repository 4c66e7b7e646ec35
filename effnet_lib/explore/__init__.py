"""Explorers: figures that a reader drags, in a notebook and in the built page alike."""

from .block import block_explorer
from .depth import stochastic_depth_explorer
from .dimensions import dimensions_explorer
from .element import Explorer
from .network import network_explorer
from .phi import phi_explorer

__all__ = [
    "Explorer",
    "block_explorer",
    "dimensions_explorer",
    "network_explorer",
    "phi_explorer",
    "stochastic_depth_explorer",
]

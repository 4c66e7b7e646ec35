"""Explorers: figures that a reader drags, in a notebook and in the built page alike."""

from .block import block_explorer
from .depth import stochastic_depth_explorer
from .dimensions import dimensions_explorer
from .element import Explorer
from .inside import inside_explorer
from .network import network_explorer
from .phi import phi_explorer
from .se import gates_explorer, se_explorer

__all__ = [
    "Explorer",
    "block_explorer",
    "dimensions_explorer",
    "gates_explorer",
    "inside_explorer",
    "network_explorer",
    "phi_explorer",
    "se_explorer",
    "stochastic_depth_explorer",
]

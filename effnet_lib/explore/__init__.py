"""Explorers: figures that a reader drags, in a notebook and in the built page alike."""

from .augmentation import augmentation_explorer
from .block import block_explorer
from .budget import budget_explorer
from .depth import stochastic_depth_explorer
from .dimensions import dimensions_explorer
from .element import Explorer
from .family import family_explorer
from .inside import inside_explorer
from .labs import phi_lab, speed_lab, training_lab
from .live import live_explorer
from .network import network_explorer
from .phi import phi_explorer
from .progressive import progressive_explorer
from .recipe import recipe_explorer
from .roofline import roofline_explorer
from .se import gates_explorer, se_explorer
from .training import training_explorer

__all__ = [
    "Explorer",
    "augmentation_explorer",
    "block_explorer",
    "budget_explorer",
    "dimensions_explorer",
    "family_explorer",
    "gates_explorer",
    "inside_explorer",
    "live_explorer",
    "network_explorer",
    "phi_explorer",
    "phi_lab",
    "progressive_explorer",
    "recipe_explorer",
    "roofline_explorer",
    "se_explorer",
    "speed_lab",
    "stochastic_depth_explorer",
    "training_explorer",
    "training_lab",
]

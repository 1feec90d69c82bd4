"""MIMO-UNet (Cho et al., ICCV 2021): the network, its losses, and what trains and runs it."""

from mimo.network import MIMOUNet
from mimo.restore import restore
from mimo.weights import load

__version__ = "0.1.0"
__all__ = ["MIMOUNet", "load", "restore"]

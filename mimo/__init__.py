"""MIMO-UNet (Cho et al., ICCV 2021): the network, its losses, and code to train and run it."""

from mimo.network import MIMOUNet
from mimo.restore import restore
from mimo.weights import load

__version__ = "0.1.0"
__all__ = ["MIMOUNet", "load", "restore"]

"""Numbers for layers that start at zero, so that a test sees every path of a net; for the tests of several rooms."""

from torch import nn


def wake(net: nn.Module) -> None:
    """Random numbers in all parameters that are zero, from torch's global generator."""
    for value in net.parameters():
        if not value.any():
            nn.init.normal_(value, std=0.2)

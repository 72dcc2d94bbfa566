"""The library: what ``import cloudfilm`` gives to other programs."""

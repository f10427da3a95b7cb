"""Pocket backbones: 12-block Vision Transformers of 0.66 M parameters that this project pretrained itself.

One architecture, one objective each, weights in the repository: positive controls for the whole path. They have seen
simulated scenes alone and say nothing about published models. ``pretrain`` makes them anew.
"""

from geofm_eval.backbones.pocket.vit import ARCHITECTURE, PocketVit, build, network, weights_name

__all__ = ["ARCHITECTURE", "PocketVit", "build", "network", "weights_name"]

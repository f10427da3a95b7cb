"""Pocket backbones: 12-block Vision Transformers with 0.66 M parameters, pretrained by this project.

They share one architecture, differ in their objective, and their weights are in the repository: positive controls for
the whole pipeline. They are pretrained on simulated scenes only and say nothing about published models.
``benchmarks.studies.pretrain`` reproduces them.
"""

from geofm_eval.backbones.pocket.vit import ARCHITECTURE, PocketVit, build, network, weights_name

__all__ = ["ARCHITECTURE", "PocketVit", "build", "network", "weights_name"]

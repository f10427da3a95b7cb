"""Pretraining of the pocket backbones: ``python -m benchmarks.studies.pretrain NAME --seed S``.

A stream of simulated scenes, from palettes and seeds that no task uses, feeds one objective. Training is resumable; the
result is a weight file and a model card.
"""

"""How the pocket backbones are made: ``python -m benchmarks.studies.pretrain NAME --seed S``.

A stream of freshly simulated scenes, from palettes and seeds that no task uses, feeds one objective; a loop trains in
pieces; the result is a weight file and a model card.
"""

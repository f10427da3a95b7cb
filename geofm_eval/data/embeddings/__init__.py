"""Embeddings that were computed elsewhere: tables with a row per sample, and rasters sampled at the samples' places."""

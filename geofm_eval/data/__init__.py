"""Data sets on disk: readers, samples and splits, label subsets, and the identity of contents."""

"""Data: spectral bands, readers of on-disk layouts, splits and label subsets, simulated stand-ins."""

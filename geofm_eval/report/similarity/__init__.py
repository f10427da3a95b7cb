"""Reports of similarity: tables, heatmaps and terminal text."""

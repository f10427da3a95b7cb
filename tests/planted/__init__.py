"""Records with a planted answer."""

"""Version of the package; a module of its own, so that no part of the package imports the whole."""

__version__ = "0.1.0"

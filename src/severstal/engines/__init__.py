"""Runtimes behind one interface (``base``), found by name (``catalog``); the export, and the checks of each engine."""

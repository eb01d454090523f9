"""Dice against the number of labelled strips, with and without a pretrained network; see ``__main__.py``."""

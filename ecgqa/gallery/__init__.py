"""Recordings to choose from: simulated ones of known truth, or a folder of the user's own."""

from ecgqa.gallery.gallery import Gallery

__all__ = ["Gallery"]

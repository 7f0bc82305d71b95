"""Training of ecgqa: see README.md in this folder."""

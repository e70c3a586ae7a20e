"""Code shared by the trained methods."""

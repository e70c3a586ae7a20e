"""Parts of the classical methods."""

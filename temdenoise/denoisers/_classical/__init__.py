"""What the classical methods are made of."""

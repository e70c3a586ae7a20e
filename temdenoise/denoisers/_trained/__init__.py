"""What the trained methods share."""

"""The three-network face generator."""

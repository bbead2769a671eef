"""Metrics, the reconstruction protocol, and its tables."""

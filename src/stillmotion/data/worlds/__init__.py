"""Rendered worlds with exact truth: moving shapes, and talking heads from rigged avatars."""

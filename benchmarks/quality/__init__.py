"""Every method at equal budget: who is trained, on what, how it is scored, and the tables. See `quality.py`."""

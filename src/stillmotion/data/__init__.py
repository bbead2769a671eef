"""Training data: clips on disk, frame pairs, augmentation, and the check before a run."""

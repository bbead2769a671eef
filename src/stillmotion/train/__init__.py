"""Training: the loop, checkpoints that resume exactly, and the record of a run."""

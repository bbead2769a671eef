"""Parts of `train_heads.py`, in reading order: what pairs are made of, how networks grow, the losses, the phases."""

"""Monkey-Net: Siarohin et al., CVPR 2019."""

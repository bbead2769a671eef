"""The first-order method of Siarohin et al., NeurIPS 2019."""

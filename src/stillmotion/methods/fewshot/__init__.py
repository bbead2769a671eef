"""Few-shot talking heads: Zakharov et al., ICCV 2019."""

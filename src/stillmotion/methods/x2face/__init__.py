"""X2Face: Wiles, Koepke, Zisserman, ECCV 2018."""

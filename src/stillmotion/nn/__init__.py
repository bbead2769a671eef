"""torch blocks that two or more methods use, and the torch engine."""

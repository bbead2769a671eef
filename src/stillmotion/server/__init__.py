"""What the pages share: who may come in, what they may bring, and a child process that does the work."""

"""What is trained: encoder and memory bank, and their size."""

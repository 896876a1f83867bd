"""Records, cells, intervals; published numbers in the same shape."""

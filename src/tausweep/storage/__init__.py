"""Where results are stored and how files are written."""

"""Where results lie and how files are written."""

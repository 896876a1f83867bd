"""What is measured of a trained run, one measure a file."""

"""The page of `tausweep choose`."""

"""The parts of `tausweep choose`: images, plan, jobs, study file, what the runs say."""

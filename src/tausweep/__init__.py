"""tausweep: does the temperature of a contrastive loss do what the paper says?"""

__version__ = "0.1.0"

"""Pretraining: the loop, its checkpoints."""

"""The precision of matrix products."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def full_products() -> Iterator[None]:
    """Inside the block, products of float32 matrices are float32, whatever the trunk's precision.

    TF32 and bf16 products have 11 and 8 significant bits. They would move a pixel by up to 1/1000
    of the range, make thousands of negatives tie, and put the softmax off by a percent at a
    temperature of 0.07.
    """
    products = (
        torch.backends.cuda.matmul,
        torch.backends.mkldnn.matmul,  # type: ignore[attr-defined]
    )
    saved = [product.fp32_precision for product in products]
    reduced = [mode not in ("ieee", "none") for mode in saved]
    for product, change in zip(products, reduced, strict=True):
        if change:
            product.fp32_precision = "ieee"
    try:
        yield
    finally:
        for product, change, mode in zip(products, reduced, saved, strict=True):
            if change:
                product.fp32_precision = mode

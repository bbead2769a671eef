"""Exact rewrites: the same function in fewer operations, for networks that are only ever run.

Every rewrite takes a module tree made of `nn.blocks`, changes it in place and returns it; the
outputs stay equal up to rounding. `rewrite` applies all of them to a copy in evaluation mode.
They pay on a CPU (measured with OpenVINO, see `benchmarks/speed.py`); a GPU wants only the folding.
"""

from __future__ import annotations

import copy

import torch
from torch import nn

from stillmotion.nn.rewrite.folding import fold_batch_norm
from stillmotion.nn.rewrite.heads import blocked_heads
from stillmotion.nn.rewrite.sampling import Upsampling, separable_down, subpixel_upsampling
from stillmotion.nn.rewrite.winograd import winograd_bottleneck

__all__ = [
    "Upsampling",
    "blocked_heads",
    "fold_batch_norm",
    "rewrite",
    "separable_down",
    "subpixel_upsampling",
    "winograd_bottleneck",
]


@torch.no_grad()
def rewrite(
    module: nn.Module,
    *,
    fold: bool = True,
    subpixel: Upsampling | None = "auto",
    winograd: bool = True,
    separable: bool = True,
    blocked: bool = True,
) -> nn.Module:
    """A faster copy of `module` in evaluation mode; the original is left as it is.

    Args:
        module: Any module; blocks it does not know stay as they are.
        fold: Fold batch norms into convolutions; the sub-pixel and Winograd rewrites need it.
        subpixel: How "double, then convolve" is computed, see `subpixel_upsampling`; None leaves it.
        winograd: Chains of residual blocks as Winograd products.
        separable: Anti-aliasing as two one-dimensional filters.
        blocked: Last convolutions with few planes computed four pixels at a time.

    Raises:
        ValueError: `subpixel` or `winograd` without `fold`.
    """
    if not fold and (winograd or subpixel is not None):
        raise ValueError("the sub-pixel and Winograd rewrites need fold=True")
    out = copy.deepcopy(module).eval()
    if fold:
        out = fold_batch_norm(out)
    if subpixel is not None:
        out = subpixel_upsampling(out, variant=subpixel)
    if winograd:
        out = winograd_bottleneck(out)
    if separable:
        out = separable_down(out)
    if blocked:
        out = blocked_heads(out)
    return out.eval().requires_grad_(False)

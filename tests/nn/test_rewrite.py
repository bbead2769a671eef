"""Every rewrite changes nothing beyond rounding."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from stillmotion.nn.blocks import AntiAliasDown, DownBlock, Hourglass, ResBlock, SameBlock, UpBlock
from stillmotion.nn.rewrite import (
    Upsampling,
    blocked_heads,
    fold_batch_norm,
    rewrite,
    separable_down,
    subpixel_upsampling,
    winograd_bottleneck,
)
from stillmotion.nn.rewrite.heads import BlockedConvolution
from stillmotion.nn.rewrite.sampling import NineUp, SeparableDown, TiledUp, TransposedUp, gather_42, spread_42
from stillmotion.nn.rewrite.tiles import from_tiles, to_tiles
from stillmotion.nn.rewrite.winograd import WinogradChain, gather_43, spread_43


@pytest.fixture(autouse=True)
def _no_grad():
    torch.manual_seed(0)
    with torch.no_grad():
        yield


def lived_in(module: nn.Module) -> nn.Module:
    """`module` in evaluation mode with batch norms that did see data."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.3)
            part.running_var.uniform_(0.5, 2.0)
            part.weight.uniform_(0.5, 1.5)
            part.bias.normal_(0, 0.3)
    return module.eval()


def difference(module: nn.Module, change: Callable[[nn.Module], nn.Module], x: torch.Tensor) -> float:
    """Largest difference after the change, relative to the largest value."""
    before = module(x)
    after = change(module)(x)
    assert after.shape == before.shape
    return float((after - before).abs().max() / before.abs().max())


@pytest.mark.parametrize(
    "block",
    [SameBlock(3, 8, kernel=7), DownBlock(3, 8), DownBlock(3, 8, pool_first=True), UpBlock(3, 8), ResBlock(3)],
    ids=["same", "down", "pool-first", "up", "residual"],
)
def test_folding_batch_norm_keeps_the_output(block: nn.Module) -> None:
    assert difference(lived_in(block), fold_batch_norm, torch.randn(2, 3, 12, 16)) < 2e-6
    assert not any(isinstance(part, nn.BatchNorm2d) for part in block.modules())


def test_folding_twice_is_folding_once() -> None:
    block = fold_batch_norm(lived_in(nn.Sequential(ResBlock(4), UpBlock(4, 4))))
    assert difference(block, fold_batch_norm, torch.randn(1, 4, 8, 8)) == 0


@pytest.mark.parametrize("size", [(8, 8), (5, 7), (1, 1), (4, 12)], ids=str)
@pytest.mark.parametrize("variant", ["transposed", "nine", "tiles"])
def test_subpixel_upsampling_keeps_the_output_and_its_border(variant: Upsampling, size: tuple[int, int]) -> None:
    block = fold_batch_norm(lived_in(UpBlock(6, 5)))
    x = torch.randn(2, 6, *size)
    assert difference(block, lambda b: subpixel_upsampling(b, variant=variant), x) < 1e-5


@pytest.mark.parametrize(
    ("inputs", "outputs", "kind"),
    [(64, 64, TransposedUp), (128, 64, TransposedUp), (256, 128, TiledUp), (512, 512, NineUp)],
    ids=["transposed", "few", "tiles", "nine"],
)
def test_auto_picks_by_the_number_of_planes(inputs: int, outputs: int, kind: type[nn.Module]) -> None:
    assert isinstance(subpixel_upsampling(fold_batch_norm(UpBlock(inputs, outputs))), kind)


def test_fast_filters_equal_plain_correlation() -> None:
    d, g = torch.randn(6, dtype=torch.float64), torch.randn(3, dtype=torch.float64)
    from stillmotion.nn.rewrite import sampling, winograd

    factors = spread_43(list(d))
    filtered = torch.tensor(winograd._FILTER, dtype=torch.float64) @ g
    got = gather_43([a * b for a, b in zip(factors, filtered, strict=True)])
    assert torch.allclose(torch.stack(got), d.unfold(0, 3, 1) @ g, atol=1e-12)
    factors = spread_42(list(d[:5]))
    filtered = torch.tensor(sampling._FILTER, dtype=torch.float64) @ g[:2]
    got = gather_42([a * b for a, b in zip(factors, filtered, strict=True)])
    assert torch.allclose(torch.stack(got), d[:5].unfold(0, 2, 1) @ g[:2], atol=1e-12)


@pytest.mark.parametrize("container", ["dict", "list", "sequential"])
@pytest.mark.parametrize("size", [(16, 8), (10, 7)], ids=str)
def test_winograd_bottleneck_keeps_the_output(container: str, size: tuple[int, int]) -> None:
    blocks = [lived_in(ResBlock(6)) for _ in range(3)]
    plain = nn.Sequential(*blocks)
    x = torch.randn(2, 6, *size)
    before = plain(x)
    held = {
        "dict": nn.ModuleDict({f"r{i}": block for i, block in enumerate(blocks)}),
        "list": nn.ModuleList(blocks),
        "sequential": plain,
    }[container]
    (chain,) = winograd_bottleneck(fold_batch_norm(held)).children()
    assert isinstance(chain, WinogradChain)
    assert (chain(x) - before).abs().max() < 1e-5 * before.abs().max()


def test_tiles_hold_column_then_row_and_come_back() -> None:
    x = torch.randn(2, 3, 8, 12)
    tiles = to_tiles(x, 4)
    assert tiles.shape == (4, 4, 2, 2, 3, 3)
    assert torch.equal(tiles[1, 2, 0, 1, 2], x[0, :, 4 + 2, 8 + 1])
    assert torch.equal(from_tiles(tiles), x)


def test_winograd_needs_folded_norms() -> None:
    with pytest.raises(ValueError, match="fold the batch norms first"):
        winograd_bottleneck(nn.Sequential(ResBlock(4)))
    with pytest.raises(ValueError, match="fold the batch norms first"):
        subpixel_upsampling(UpBlock(4, 4))
    with pytest.raises(ValueError, match="need fold=True"):
        rewrite(UpBlock(4, 4), fold=False)


@pytest.mark.parametrize("scale", [0.5, 0.25, 1.0])
@pytest.mark.parametrize("size", [(32, 24), (31, 25)], ids=str)
def test_separable_down_keeps_the_output(scale: float, size: tuple[int, int]) -> None:
    assert difference(AntiAliasDown(3, scale), separable_down, torch.rand(2, 3, *size)) < 1e-6
    assert isinstance(separable_down(AntiAliasDown(3, 0.25)), SeparableDown)


@pytest.mark.parametrize("kernel", [3, 7])
@pytest.mark.parametrize("size", [(16, 12), (9, 11)], ids=str)
def test_blocked_heads_keep_the_output(kernel: int, size: tuple[int, int]) -> None:
    head = nn.Conv2d(20, 3, kernel, padding=kernel // 2)
    assert difference(head, blocked_heads, torch.randn(2, 20, *size)) < 1e-6
    assert isinstance(blocked_heads(head), BlockedConvolution)


@pytest.mark.parametrize(
    "other",
    [
        nn.Conv2d(20, 8, 3, padding=1),
        nn.Conv2d(20, 3, 3),
        nn.Conv2d(20, 3, 3, padding=1, stride=2),
        nn.Conv2d(20, 3, 3, padding=1, bias=False),
        nn.Conv2d(3, 3, 3, padding=1),
    ],
    ids=["many", "valid", "strided", "no-bias", "narrow"],
)
def test_other_convolutions_are_left_alone(other: nn.Module) -> None:
    assert blocked_heads(other) is other


def test_rewrite_copies_and_leaves_unknown_modules() -> None:
    net = lived_in(nn.Sequential(Hourglass(3, expansion=8, max_features=32, blocks=2), nn.Conv2d(11, 8, 3), nn.ReLU()))
    kept = {name: value.clone() for name, value in net.state_dict().items()}
    x = torch.randn(2, 3, 16, 24)
    assert difference(net, rewrite, x) < 1e-5
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in kept.items())
    same = rewrite(net, fold=False, subpixel=None, winograd=False, separable=False, blocked=False)
    assert torch.equal(same(x), net(x))


def test_an_exported_rewrite_gives_the_same_in_the_default_engine(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="exporting needs the train extra")
    from stillmotion.nn.export import export_stage
    from stillmotion.runtime.openvino_engine import import_openvino

    net = lived_in(nn.Sequential(nn.Sequential(ResBlock(8)), UpBlock(8, 4), nn.Conv2d(4, 1, 3, padding=1)))
    x = torch.rand(1, 8, 8, 8)
    export_stage(rewrite(net, subpixel="tiles"), {"x": x}, ("y",), tmp_path / "net.onnx")
    core = import_openvino().Core()
    compiled = core.compile_model(core.read_model(tmp_path / "net.onnx"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    (got,) = compiled({"x": x.numpy()}).values()
    assert (torch.from_numpy(got) - net(x)).abs().max() < 1e-5 * net(x).abs().max()

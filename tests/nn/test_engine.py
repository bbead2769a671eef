"""The torch engine: same numbers as the modules, on every device; clear refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stillmotion.core.errors import EngineError
from stillmotion.nn.engine import TorchEngine


class Mixer(nn.Module):
    """`picture (n, 3, h, w)` and `shift (1, 3)` to `out` and `mean`."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, picture: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
        out = self.conv(picture) + shift[:, :, None, None]
        return out, out.mean(dim=(2, 3))


NAMES = {"mix": (("picture", "shift"), ("out", "mean"))}


@pytest.fixture
def module() -> Mixer:
    torch.manual_seed(0)
    return Mixer().eval()


@pytest.fixture
def arrays(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {
        "picture": rng.random((2, 3, 8, 8)).astype(np.float32),
        "shift": rng.random((1, 3)).astype(np.float32),
    }


def expected(module: Mixer, arrays: dict[str, np.ndarray]) -> np.ndarray:
    with torch.inference_mode():
        return module(*(torch.from_numpy(arrays[name].copy()) for name in ("picture", "shift")))[0].numpy()


def test_same_as_the_module(module: Mixer, arrays: dict[str, np.ndarray]) -> None:
    wanted = expected(module, arrays)
    out = TorchEngine({"mix": module}, NAMES, device="cpu").run("mix", **arrays)
    assert set(out) == {"out", "mean"}
    np.testing.assert_allclose(out["out"], wanted, atol=1e-6)


def test_results_are_the_callers_own(module: Mixer, arrays: dict[str, np.ndarray]) -> None:
    engine = TorchEngine({"mix": module}, NAMES, device="cpu")
    first = engine.run("mix", **arrays)["out"]
    kept = first.copy()
    engine.run("mix", picture=arrays["picture"] * 0, shift=arrays["shift"])
    np.testing.assert_array_equal(first, kept)


def test_frozen_arrays_are_accepted_without_a_warning(module: Mixer, arrays: dict[str, np.ndarray]) -> None:
    wanted = expected(module, arrays)
    arrays["shift"].setflags(write=False)
    np.testing.assert_allclose(
        TorchEngine({"mix": module}, NAMES, device="cpu").run("mix", **arrays)["out"], wanted, atol=1e-6
    )


def test_bfloat16_is_close_and_float32_outside(module: Mixer, arrays: dict[str, np.ndarray]) -> None:
    wanted = expected(module, arrays)
    out = TorchEngine({"mix": module}, NAMES, device="cpu", dtype="bfloat16").run("mix", **arrays)["out"]
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, wanted, atol=3e-2)


def test_an_unknown_stage_is_refused(module: Mixer) -> None:
    with pytest.raises(EngineError, match="no stage 'draw'; there are mix"):
        TorchEngine({"mix": module}, NAMES, device="cpu").run("draw")


def test_wrong_arrays_are_refused(module: Mixer, arrays: dict[str, np.ndarray]) -> None:
    with pytest.raises(EngineError, match="takes picture, shift, not picture"):
        TorchEngine({"mix": module}, NAMES, device="cpu").run("mix", picture=arrays["picture"])


def test_wrong_shapes_are_explained(module: Mixer, arrays: dict[str, np.ndarray]) -> None:
    with pytest.raises(EngineError, match="torch failed in stage mix"):
        TorchEngine({"mix": module}, NAMES, device="cpu").run(
            "mix", picture=arrays["picture"][:, :2], shift=arrays["shift"]
        )


def test_a_device_that_is_not_here_is_refused(module: Mixer) -> None:
    with pytest.raises(EngineError, match="cannot use the device 'warp9'"):
        TorchEngine({"mix": module}, NAMES, device="warp9")


needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


@needs_cuda
@pytest.mark.parametrize("graphs", [False, True])
def test_cuda_equals_the_cpu(module: Mixer, arrays: dict[str, np.ndarray], graphs: bool) -> None:
    wanted = expected(module, arrays)
    engine = TorchEngine({"mix": module}, NAMES, device="cuda", cuda_graphs=graphs)
    arrays["shift"].setflags(write=False)
    for factor in (1.0, 0.5, 1.0):  # replays must follow the input
        out = engine.run("mix", picture=arrays["picture"] * np.float32(factor), shift=arrays["shift"])["out"]
    np.testing.assert_allclose(out, wanted, atol=1e-3)


@needs_cuda
def test_bfloat16_on_cuda_is_close(module: Mixer, arrays: dict[str, np.ndarray]) -> None:
    wanted = expected(module, arrays)
    out = TorchEngine({"mix": module}, NAMES, device="cuda", dtype="bfloat16").run("mix", **arrays)["out"]
    np.testing.assert_allclose(out, wanted, atol=3e-2)

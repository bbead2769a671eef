"""Published checkpoints: every layout loads strictly, every wrong file has its own message, nothing runs."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="checkpoints need torch")

from stillmotion import methods  # noqa: E402
from stillmotion.core.errors import ConfigError, WeightsError  # noqa: E402
from stillmotion.methods.firstorder.config import FirstOrderConfig  # noqa: E402
from stillmotion.methods.firstorder.weights import (  # noqa: E402
    KIT,
    build,
    convert,
    from_checkpoint,
    load_checkpoint,
    networks_engine,
)
from stillmotion.nn.checkpoint import published_names  # noqa: E402
from stillmotion.runtime.bundle import Bundle, fingerprint  # noqa: E402


@pytest.fixture
def config(tiny: FirstOrderConfig) -> FirstOrderConfig:
    return replace(tiny, discriminator=replace(tiny.discriminator, spectral_norm=True))


@pytest.fixture
def networks(config: FirstOrderConfig, networks_of: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    return networks_of(config)


def published(networks: dict[str, Any], *, parts: tuple[str, ...], prefix: str = "") -> dict[str, Any]:
    """What the published logger saves."""
    states = {name: {prefix + k: v for k, v in published_names(networks[name].state_dict()).items()} for name in parts}
    optimizer = torch.optim.Adam(networks["kp_detector"].parameters())
    return states | {"optimizer_kp_detector": optimizer.state_dict(), "epoch": 99}


FULL = ("generator", "kp_detector", "discriminator")


@pytest.mark.parametrize("zipped", [True, False], ids=["new", "torch-1.0"])
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("parts", [FULL, FULL[:2]], ids=["full", "stripped"])
def test_every_layout_loads(
    tmp_path: Path,
    config: FirstOrderConfig,
    networks: dict[str, Any],
    parts: tuple[str, ...],
    prefix: str,
    zipped: bool,
) -> None:
    path = tmp_path / "00000099-checkpoint.pth.tar"
    torch.save(published(networks, parts=parts, prefix=prefix), path, _use_new_zipfile_serialization=zipped)
    loaded, settings = load_checkpoint(path, config)
    assert settings == config
    for name in parts:
        expected = networks[name].state_dict()
        assert loaded[name].state_dict().keys() == expected.keys()
        for key, tensor in loaded[name].state_dict().items():
            assert torch.equal(tensor, expected[key]), key
        assert not loaded[name].training


def test_spectral_norm_comes_under_its_old_names(networks: dict[str, Any]) -> None:
    names = published_names(networks["discriminator"].state_dict()).keys()
    assert {"discs.1.conv.weight_orig", "discs.1.conv.weight_u", "discs.1.conv.weight_v"} <= names
    assert not any("parametrizations" in name for name in names)


def test_a_nan_constant_of_the_published_code_does_not_matter(
    tmp_path: Path, config: FirstOrderConfig, networks: dict[str, Any]
) -> None:
    content = published(networks, parts=FULL)
    content["kp_detector"]["down.weight"] = torch.full_like(content["kp_detector"]["down.weight"], float("nan"))
    torch.save(content, tmp_path / "c.pth.tar")
    loaded, _ = load_checkpoint(tmp_path / "c.pth.tar", config)
    assert torch.isfinite(loaded["kp_detector"].down.weight).all()


def test_convert_makes_a_bundle_that_says_where_it_comes_from(
    tmp_path: Path, config: FirstOrderConfig, networks: dict[str, Any], rng: np.random.Generator
) -> None:
    path = tmp_path / "checkpoint.pth.tar"
    torch.save(published(networks, parts=FULL), path)
    folder = convert(path, config=config, output=tmp_path / "converted", keep="tensors")
    bundle = Bundle.open(folder)
    assert bundle.card.convention == "centers"
    assert bundle.card.recipe == {"converted_from": "checkpoint.pth.tar"}
    assert bundle.config(FirstOrderConfig) == config
    assert bundle.card.fingerprint == fingerprint(KIT.arrays(networks, config))
    found = bundle.tensors("kp_detector.")
    np.testing.assert_array_equal(found["kp.weight"], networks["kp_detector"].kp.weight.detach().numpy())


def complaint(path: Path, config: Any) -> WeightsError:
    with pytest.raises(WeightsError) as caught:
        load_checkpoint(path, config)
    assert caught.value.hint
    assert "\n" not in caught.value.message
    return caught.value


class Hostile:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return (Path.touch, (self.mark,))


class HostileSystem(Hostile):
    def __reduce__(self) -> Any:
        import os

        return (os.system, (f"touch {self.mark}",))


@pytest.mark.parametrize("kind", [Hostile, HostileSystem])
@pytest.mark.parametrize("how", ["zip", "old", "bare pickle"])
def test_a_hostile_pickle_runs_nothing(tmp_path: Path, config: FirstOrderConfig, kind: Any, how: str) -> None:
    path, mark = tmp_path / "evil.pth.tar", tmp_path / "owned"
    content = {"generator": {}, "kp_detector": {}, "epoch": kind(mark)}
    if how == "bare pickle":
        path.write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=how == "zip")
    error = complaint(path, config)
    assert not mark.exists()
    assert "evil.pth.tar was refused: it asks to run" in error.message
    assert error.hint == "do not trust this file; nothing in it was run"


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.98])
def test_a_truncated_file(
    tmp_path: Path, config: FirstOrderConfig, networks: dict[str, Any], zipped: bool, share: float
) -> None:
    path = tmp_path / "short.pth.tar"
    torch.save(published(networks, parts=FULL), path, _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    error = complaint(path, config)
    assert "short.pth.tar is cut short" in error.message
    assert "download it again" in error.hint


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "x.pth.tar is empty"),
        (b"\n<!DOCTYPE html><html><title>Google Drive</title>", "x.pth.tar is a web page, not a checkpoint"),
        (b"<html><body>quota</body></html>", "x.pth.tar is a web page, not a checkpoint"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\n", "x.pth.tar is a git-lfs pointer"),
        (b"\x10\x00\x00\x00\x00\x00\x00\x00{}              ", "x.pth.tar is a safetensors file"),
        (b"hello, I am text", "x.pth.tar is not a checkpoint that torch can read safely"),
    ],
)
def test_files_that_are_something_else(tmp_path: Path, config: FirstOrderConfig, content: bytes, message: str) -> None:
    path = tmp_path / "x.pth.tar"
    path.write_bytes(content)
    assert message in complaint(path, config).message


def test_no_such_file(tmp_path: Path, config: FirstOrderConfig) -> None:
    assert "cannot be read: No such file" in complaint(tmp_path / "absent.pth.tar", config).message


@pytest.mark.parametrize("content", [[1, 2], {"state_dict": {"a": 1}}, {"generator": {"a": 1}}])
def test_another_kind_of_checkpoint(tmp_path: Path, config: FirstOrderConfig, content: Any) -> None:
    torch.save(content, tmp_path / "other.pth")
    message = complaint(tmp_path / "other.pth", config).message
    assert "other.pth is not a checkpoint of first-order: it has no" in message


def test_names_that_do_not_fit_are_listed_and_counted(
    tmp_path: Path, config: FirstOrderConfig, networks: dict[str, Any]
) -> None:
    content = published(networks, parts=FULL[:2])
    content["generator"]["extra.weight"] = torch.zeros(1)
    del content["kp_detector"]["kp.bias"]
    torch.save(content, tmp_path / "odd.pth.tar")
    error = complaint(tmp_path / "odd.pth.tar", config)
    assert error.message == (
        "odd.pth.tar does not fit the config: 1 missing (kp_detector.kp.bias); 1 unexpected (generator.extra.weight)"
    )
    assert error.fields["missing"] == ("kp_detector.kp.bias",)


def test_the_wrong_architecture(tmp_path: Path, config: FirstOrderConfig, networks: dict[str, Any]) -> None:
    torch.save(published(networks, parts=FULL[:2]), tmp_path / "c.pth.tar")
    wrong = replace(config, keypoints=replace(config.keypoints, count=7))
    error = complaint(tmp_path / "c.pth.tar", wrong)
    assert "of another shape" in error.message
    assert error.hint == "choose the config that the weights were trained with"
    deeper = replace(config, generator=replace(config.generator, bottleneck_blocks=4))
    message = complaint(tmp_path / "c.pth.tar", deeper).message
    assert "28 missing" in message
    assert ", and 25 more" in message


def test_nan_in_a_checkpoint(tmp_path: Path, config: FirstOrderConfig, networks: dict[str, Any]) -> None:
    content = published(networks, parts=FULL[:2])
    content["generator"]["final.bias"] = torch.full((3,), float("nan"))
    torch.save(content, tmp_path / "nan.pth.tar")
    assert "nan.pth.tar holds NaN or infinity: 1 damaged (generator.final.bias)" in (
        complaint(tmp_path / "nan.pth.tar", config).message
    )


def test_a_checkpoint_needs_a_config_and_torch(tmp_path: Path, networks: dict[str, Any]) -> None:
    path = tmp_path / "c.pth.tar"
    torch.save(published(networks, parts=FULL[:2]), path)
    with pytest.raises(ConfigError, match=r"c\.pth\.tar does not say what network it is for"):
        methods.load(path)
    with pytest.raises(ConfigError, match="the openvino engine runs exported stages") as caught:
        methods.load(path, engine="openvino", config="vox-256")
    assert "stillmotion convert" in caught.value.hint


def test_a_checkpoint_loads_as_a_method_and_moves_a_picture(
    tmp_path: Path,
    tiny: FirstOrderConfig,
    networks_of: Callable[..., dict[str, Any]],
    rng: np.random.Generator,
    tiny_bundle: Path,
) -> None:
    networks = networks_of(tiny)  # the same seed as the bundle's, so the same network
    torch.save(published(networks, parts=FULL[:2]), tmp_path / "c.pth.tar")
    method = from_checkpoint(tmp_path / "c.pth.tar", config=tiny, device="cpu")
    assert method.spec.weights == "tiny"
    assert method.spec.checksum == fingerprint(KIT.arrays(networks, tiny))
    frames = rng.integers(0, 255, (2, 32, 32, 3), dtype=np.uint8)
    ours = method.render(method.encode([frames[0]]), method.read(frames[1:])).planes
    bundled = methods.load(tiny_bundle, engine="torch", device="cpu")
    theirs = bundled.render(bundled.encode([frames[0]]), bundled.read(frames[1:])).planes
    np.testing.assert_array_equal(ours, theirs)


def test_an_engine_on_networks_in_training_leaves_them_there(
    config: FirstOrderConfig, networks: dict[str, Any]
) -> None:
    networks["generator"].train()
    engine = networks_engine(networks, config, device="cpu")
    assert networks["generator"].training
    with torch.no_grad():
        networks["kp_detector"].kp.bias += 1
    assert not torch.equal(engine.stages["read"].detector.kp.bias, networks["kp_detector"].kp.bias)


def test_build_makes_independent_networks(config: FirstOrderConfig) -> None:
    first, second = build(config), build(config)
    assert first["generator"] is not second["generator"]

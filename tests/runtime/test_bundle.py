"""Bundles: what is written opens again, and every way of being wrong has its own message."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from stillmotion.core.errors import OutputError, WeightsError
from stillmotion.methods.firstorder.config import FirstOrderConfig
from stillmotion.runtime.bundle import Bundle, Card, CropContract, fingerprint, sha256, write_bundle


@pytest.fixture
def tensors(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {
        "generator.a.weight": rng.normal(size=(4, 3, 3, 3)).astype(np.float32),
        "kp_detector.b.bias": rng.normal(size=4).astype(np.float32),
        "kp_detector.b.count": np.array(3, np.int64),
    }


@pytest.fixture
def card() -> Card:
    return Card(
        method="first-order",
        name="toy",
        config={"size": 32},
        convention="centers",
        crop=CropContract(kind="face", margin=1.7),
    )


@pytest.fixture
def bundle(tmp_path: Path, card: Card, tensors: dict[str, np.ndarray]) -> Path:
    return write_bundle(tmp_path / "toy", card, tensors=tensors)


def rewrite_card(folder: Path, **changes: object) -> None:
    raw = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(raw | changes))


def complaint(path: Path, **options: object) -> WeightsError:
    with pytest.raises(WeightsError) as caught:
        Bundle.open(path, **options)
    assert caught.value.hint
    return caught.value


def test_round_trip(bundle: Path, card: Card, tensors: dict[str, np.ndarray]) -> None:
    opened = Bundle.open(bundle, method="first-order")
    assert opened.card.model_dump(exclude={"checksums", "fingerprint"}) == card.model_dump(
        exclude={"checksums", "fingerprint"}
    )
    found = opened.tensors()
    assert found.keys() == tensors.keys()
    for name, array in tensors.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].shape == array.shape
    assert set(opened.tensors("kp_detector.")) == {"b.bias", "b.count"}
    assert opened.stages == {}
    assert opened.config(FirstOrderConfig) == FirstOrderConfig(size=32)
    assert sorted(p.name for p in bundle.parent.iterdir()) == ["toy"]


def test_half_storage_halves_the_file_and_reads_as_float32(tmp_path: Path, card: Card) -> None:
    tensors = {"generator.w": np.linspace(-1, 1, 4096, dtype=np.float32).reshape(64, 64)}
    whole = write_bundle(tmp_path / "whole", card, tensors=tensors)
    half = write_bundle(tmp_path / "half", card, tensors=tensors, half=True)
    sizes = [(p / "network.safetensors").stat().st_size for p in (whole, half)]
    assert sizes[1] < 0.6 * sizes[0]
    found = Bundle.open(half).tensors()["generator.w"]
    assert found.dtype == np.float32
    assert np.abs(found - tensors["generator.w"]).max() < 5e-4


def test_fingerprint_is_of_the_values_and_survives_without_tensors(
    tmp_path: Path, card: Card, tensors: dict[str, np.ndarray], bundle: Path
) -> None:
    def export(folder: Path) -> None:
        (folder / "read.onnx").write_bytes(b"graph")

    light = write_bundle(tmp_path / "light", card, tensors=tensors, export=export, keep="stages")
    opened = Bundle.open(light)
    assert opened.card.fingerprint == Bundle.open(bundle).card.fingerprint == fingerprint(tensors)
    assert fingerprint(tensors | {"kp_detector.b.bias": np.zeros(4, np.float32)}) != opened.card.fingerprint
    assert list(opened.stages) == ["read"]
    with pytest.raises(WeightsError, match="exported stages but no tensors"):
        opened.tensors()


def test_rewriting_replaces_a_bundle_but_nothing_else(bundle: Path, card: Card, tensors: dict[str, np.ndarray]) -> None:
    write_bundle(bundle, card.model_copy(update={"name": "newer"}), tensors=tensors)
    assert Bundle.open(bundle).card.name == "newer"
    other = bundle.parent / "photos"
    other.mkdir()
    (other / "holiday.jpg").write_bytes(b"precious")
    with pytest.raises(OutputError, match="exists and is not a weights bundle"):
        write_bundle(other, card, tensors=tensors)
    assert (other / "holiday.jpg").read_bytes() == b"precious"


def test_a_failed_export_leaves_the_old_bundle_and_no_half_one(
    bundle: Path, card: Card, tensors: dict[str, np.ndarray]
) -> None:
    def export(folder: Path) -> None:
        raise OSError(28, "No space left on device")

    before = sha256(bundle / "model.json")
    with pytest.raises(OutputError, match="No space left on device"):
        write_bundle(bundle, card, tensors=tensors, export=export)
    assert sha256(bundle / "model.json") == before
    assert sorted(p.name for p in bundle.parent.iterdir()) == ["toy"]


def test_no_such_folder_suggests_the_neighbour(bundle: Path) -> None:
    error = complaint(bundle.with_name("toi"))
    assert "there is no weights bundle at" in error.message
    assert error.hint == "did you mean 'toy'?"


def test_a_folder_without_card(tmp_path: Path) -> None:
    assert "is not a weights bundle: it has no model.json" in complaint(tmp_path).message


def test_a_file_instead_of_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "vox.pth.tar"
    path.write_bytes(b"x")
    error = complaint(path)
    assert "is a file, not a bundle folder" in error.message
    assert "stillmotion convert" in error.hint


def test_another_format_version(bundle: Path) -> None:
    rewrite_card(bundle, format=7)
    error = complaint(bundle)
    assert "bundle format 7; this version reads format 1" in error.message
    assert "update stillmotion" in error.hint


def test_a_broken_card(bundle: Path) -> None:
    rewrite_card(bundle, convention="corners")
    assert "is not a valid card: convention" in complaint(bundle).message
    (bundle / "model.json").write_text("{not json")
    assert "cannot be read as JSON" in complaint(bundle).message


def test_a_card_that_points_outside_its_folder(bundle: Path) -> None:
    rewrite_card(bundle, checksums={"../secret": "0"})
    assert "lists a file outside its folder: '../secret'" in complaint(bundle).message


def test_weights_for_another_method(bundle: Path) -> None:
    error = complaint(bundle, method="monkey-net")
    assert error.message == "toy holds weights for first-order, not for monkey-net"


def test_a_missing_file(bundle: Path) -> None:
    (bundle / "network.safetensors").unlink()
    assert complaint(bundle).message == "toy is incomplete: network.safetensors missing"


def test_an_altered_file(bundle: Path) -> None:
    path = bundle / "network.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert "toy/network.safetensors is not the file its card describes" in complaint(bundle).message


def test_nothing_listed(bundle: Path) -> None:
    rewrite_card(bundle, checksums={})
    assert "lists neither tensors nor stages" in complaint(bundle).message


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_or_infinity(bundle: Path, bad: float) -> None:
    path = bundle / "network.safetensors"
    content = load_file(path)
    content["generator.a.weight"] = np.full_like(content["generator.a.weight"], bad)
    save_file(content, path)
    rewrite_card(bundle, checksums={path.name: sha256(path)})
    error = complaint(bundle)
    assert error.message == "toy holds NaN or infinity in generator.a.weight"
    assert "use other weights" in error.hint


def test_a_file_that_is_not_safetensors(bundle: Path) -> None:
    path = bundle / "network.safetensors"
    path.write_bytes(b"garbage")
    rewrite_card(bundle, checksums={path.name: sha256(path)})
    assert "toy/network.safetensors cannot be read" in complaint(bundle).message


def test_config_fields_are_checked(bundle: Path) -> None:
    rewrite_card(bundle, config={"keypoints": {"cuont": 3}})
    with pytest.raises(WeightsError, match=r"unknown config field 'keypoints\.cuont'") as caught:
        Bundle.open(bundle).config(FirstOrderConfig)
    assert caught.value.hint == "did you mean 'count'?"
    rewrite_card(bundle, config={"size": "large"})
    with pytest.raises(WeightsError, match="size: Input should be a valid integer"):
        Bundle.open(bundle).config(FirstOrderConfig)


def test_a_copied_bundle_opens_elsewhere(bundle: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(bundle, tmp_path / "elsewhere" / "toy")
    assert Bundle.open(copied).card.name == "toy"

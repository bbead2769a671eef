"""The published YAML schema gives the presets, coerces what YAML misreads, and refuses misspelt keys."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from stillmotion.core.errors import ConfigError
from stillmotion.methods.firstorder.config import PRESETS
from stillmotion.methods.firstorder.published import from_published, from_yaml, resolve_config

JITTER = {"brightness": 0.1, "contrast": 0.1, "saturation": 0.1, "hue": 0.1}

# preset: jitter, use_kp, sn, epochs, repeats, milestones, keypoint rate, batch, checkpoint epochs, gan, id sampling
TABLE: dict[str, tuple[Any, ...]] = {
    "vox-256": (JITTER, False, True, 100, 75, [60, 90], "2.0e-4", 40, 50, 0, True),
    "vox-adv-256": (JITTER, True, False, 150, 75, [], "2.0e-4", 36, 50, 1, True),
    "taichi-256": (JITTER, False, False, 100, 150, [60, 90], "2.0e-4", 30, 50, 0, True),
    "taichi-adv-256": (JITTER, True, False, 150, 150, [], 0, 27, 50, 1, True),
    "fashion-256": ({"hue": 0.1}, False, False, 100, 50, [60, 90], "2.0e-4", 27, 50, 1, False),
    "mgif-256": ({"hue": 0.5}, False, True, 100, 25, [60, 90], "2.0e-4", 36, 100, 1, False),
    "bair-256": (JITTER, False, True, 20, 1, [12, 18], "2.0e-4", 36, 10, 1, False),
    "nemo-256": (None, False, True, 100, 8, [60, 90], "2.0e-4", 36, 50, 1, False),
}


def published(name: str) -> dict[str, Any]:
    """The published file of a preset, as a mapping."""
    jitter, use_kp, sn, epochs, repeats, milestones, rate, batch, checkpoint, gan, ids = TABLE[name]
    augmentation: dict[str, Any] = {"flip_param": {"horizontal_flip": True, "time_flip": True}}
    detector: dict[str, Any] = {
        "temperature": 0.1,
        "block_expansion": 32,
        "max_features": 1024,
        "scale_factor": 0.25,
        "num_blocks": 5,
    }
    if jitter:
        augmentation["jitter_param"] = jitter
    if name == "mgif-256":
        augmentation |= {"crop_param": {"size": [256, 256]}, "resize_param": {"ratio": [0.9, 1.1]}}
        detector["single_jacobian_map"] = True
    judge: dict[str, Any] = {"scales": [1], "block_expansion": 32, "max_features": 512, "num_blocks": 4}
    judge |= {"sn": True} if sn else {}
    judge |= {"use_kp": True} if use_kp else {}
    return {
        "dataset_params": {
            "root_dir": "data/x",
            "frame_shape": [256, 256, 3],
            "id_sampling": ids,
            "augmentation_params": augmentation,
        },
        "model_params": {
            "common_params": {"num_kp": 10, "num_channels": 3, "estimate_jacobian": True},
            "kp_detector_params": detector,
            "generator_params": {
                "block_expansion": 64,
                "max_features": 512,
                "num_down_blocks": 2,
                "num_bottleneck_blocks": 6,
                "estimate_occlusion_map": True,
                "dense_motion_params": {
                    "block_expansion": 64,
                    "max_features": 1024,
                    "num_blocks": 5,
                    "scale_factor": 0.25,
                },
            },
            "discriminator_params": judge,
        },
        "train_params": {
            "num_epochs": epochs,
            "num_repeats": repeats,
            "epoch_milestones": milestones,
            "lr_generator": "2e-4",  # written bare: YAML 1.1 reads 2e-4 as text
            "lr_discriminator": "2.0e-4",
            "lr_kp_detector": rate,
            "batch_size": batch,
            "scales": [1, 0.5, 0.25, 0.125],
            "checkpoint_freq": checkpoint,
            "transform_params": {"sigma_affine": 0.05, "sigma_tps": 0.005, "points_tps": 5},
            "loss_weights": {
                "generator_gan": gan,
                "discriminator_gan": 1,
                "feature_matching": [10, 10, 10, 10],
                "perceptual": [10, 10, 10, 10, 10],
                "equivariance_value": 10,
                "equivariance_jacobian": 10,
            },
        },
        "reconstruction_params": {"num_videos": 1000, "format": ".mp4"},
        "animate_params": {"num_pairs": 50, "format": ".mp4", "normalization_params": {"use_relative_movement": True}},
        "visualizer_params": {"kp_size": 5, "draw_border": True, "colormap": "gist_rainbow"},
    }


def written(raw: dict[str, Any], path: Path) -> Path:
    path.write_text(yaml.safe_dump(raw).replace("'2e-4'", "2e-4").replace("'2.0e-4'", "2.0e-4"))
    return path


@pytest.mark.parametrize("name", sorted(TABLE))
def test_each_published_file_equals_its_preset(name: str, tmp_path: Path) -> None:
    assert from_yaml(written(published(name), tmp_path / f"{name}.yaml")) == PRESETS[name]()


def test_text_that_is_a_number_is_a_number(tmp_path: Path) -> None:
    path = written(published("vox-256"), tmp_path / "vox-256.yaml")
    assert isinstance(yaml.safe_load(path.read_text())["train_params"]["lr_generator"], str)
    assert from_yaml(path).training.learning_rate_generator == 2e-4


def test_the_smallest_file_takes_the_published_defaults() -> None:
    config = from_published({"model_params": {}}, name="least")
    assert config.keypoints == PRESETS["vox-256"]().keypoints
    assert not config.generator.occlusion, "the published code predicts no occlusion unless told to"
    assert not config.training.augmentation.horizontal_flip


def test_variants_and_aliases() -> None:
    raw = published("vox-256")
    raw["dataset_params"]["image_shape"] = raw["dataset_params"].pop("frame_shape")
    raw["dataset_params"]["image_shape"] = [128, 128, 3]
    raw["model_params"]["common_params"]["estimate_jacobian"] = False
    raw["model_params"]["generator_params"]["estimate_occlusion_map"] = False
    raw["model_params"]["discriminator_params"]["scales"] = 1
    raw["train_params"]["scales"] = 1
    config = from_published(raw, name="zero")
    assert config.size == 128
    assert not config.keypoints.jacobian
    assert not config.generator.occlusion
    assert config.discriminator.scales == config.training.scales == (1.0,)


@pytest.mark.parametrize(
    ("section", "wrong", "place", "hint"),
    [
        (("model_params", "common_params"), "num_kps", "model_params.common_params.num_kps", "did you mean 'num_kp'?"),
        (("train_params",), "epoch_milestone", "train_params.epoch_milestone", "did you mean 'epoch_milestones'?"),
        (
            ("dataset_params", "augmentation_params", "resize_param"),
            "ration",
            "dataset_params.augmentation_params.resize_param.ration",
            "did you mean 'ratio'?",
        ),
    ],
)
def test_misspelt_keys_are_named(section: tuple[str, ...], wrong: str, place: str, hint: str) -> None:
    raw = copy.deepcopy(published("mgif-256"))
    part = raw
    for key in section:
        part = part[key]
    part[wrong] = 1
    with pytest.raises(ConfigError, match=f"unknown key {place}$") as caught:
        from_published(raw, name="x", where="x.yaml")
    assert caught.value.hint == hint


def test_values_that_make_no_sense() -> None:
    raw = published("vox-256")
    raw["model_params"]["common_params"]["num_kp"] = "many"
    with pytest.raises(ConfigError, match=r"model_params\.common_params\.num_kp: Input should be a valid integer"):
        from_published(raw, name="x")
    raw = published("vox-256")
    raw["dataset_params"]["frame_shape"] = [256, 128, 3]
    with pytest.raises(ConfigError, match="frame_shape must be square, not 128×256"):
        from_published(raw, name="x")


def test_files_that_are_not_configs(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("a: [1, 2")
    with pytest.raises(ConfigError, match=r"bad\.yaml is not YAML"):
        from_yaml(path)
    path.write_text("just text")
    with pytest.raises(ConfigError, match=r"bad\.yaml has no model_params"):
        from_yaml(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        from_yaml(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        from_yaml(tmp_path / "absent.yaml")


def test_presets_by_name() -> None:
    assert resolve_config("mgif-256") == PRESETS["mgif-256"]()
    with pytest.raises(ConfigError, match="'vox256' is neither a preset nor a YAML file") as caught:
        resolve_config("vox256")
    assert caught.value.hint == "did you mean 'vox-256'?"

"""What every method in the table promises, on every engine. There is no opting out.

A new method adds its smallest configs to `tiny.TINY`; the first test fails until it has.
"""

from __future__ import annotations

import importlib.util
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stillmotion import methods
from stillmotion.animate import animate
from stillmotion.core.errors import ConfigError, EngineError, ImageError, MotionError
from stillmotion.core.method import Method, State
from stillmotion.core.motion import Keypoints, Landmarks, Latent, Motion, transfer
from stillmotion.runtime.bundle import Bundle
from stillmotion.session.animator import Animator
from stillmotion.session.recording import read_motion
from stillmotion.video.read import open_video
from tests.scene import Scene

from .tiny import TINY, make_bundle

ALL = [config for configs in TINY.values() for config in configs]
NEEDS = {"torch": "torch", "openvino": "openvino", "onnx": "onnxruntime"}
KINDS: dict[str, type[Motion]] = {"keypoints": Keypoints, "landmarks": Landmarks, "latent": Latent}


class Counting:
    """An engine that counts what it is asked for."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self.name = engine.name
        self.max_batch = engine.max_batch
        self.calls: Counter[str] = Counter()

    def run(self, stage: str, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        self.calls[stage] += 1
        out: dict[str, np.ndarray] = self.engine.run(stage, **arrays)
        return out


def load(bundle: Path, engine: Any = "openvino") -> Any:
    if importlib.util.find_spec(NEEDS[engine]) is None:
        pytest.skip(f"{NEEDS[engine]} is not installed")
    device = "cpu" if engine == "torch" else None
    return methods.load(bundle, engine=engine, device=device, threads=1)


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {"": tmp_path_factory.mktemp("contract")}


@pytest.fixture(params=ALL, ids=[config.name for config in ALL])
def bundle(request: pytest.FixtureRequest, shelf: dict[str, Path]) -> Path:
    pytest.importorskip("torch", reason="making weights needs torch")
    name = request.param.name
    ready = {"tiny": "tiny_bundle", "tiny-compact": "compact_bundle"}
    if name in ready:
        path: Path = request.getfixturevalue(ready[name])
        return path
    if name not in shelf:
        shelf[name] = make_bundle(shelf[""], request.param)
    return shelf[name]


@pytest.fixture(params=list(NEEDS))
def method(request: pytest.FixtureRequest, bundle: Path) -> Any:
    return load(bundle, request.param)


def pictures(method: Method, count: int, seed: int = 0) -> np.ndarray:
    """Smooth random frames of the method's size."""
    rng = np.random.default_rng(seed)
    height, width = method.spec.size
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    waves = rng.uniform(2, 9, (count, 3, 2))
    phase = rng.uniform(0, 6, (count, 3, 1, 1))
    planes = 0.5 + 0.5 * np.sin(waves[..., 0, None, None] * x + waves[..., 1, None, None] * y + phase)
    return np.ascontiguousarray(np.moveaxis(planes * 255, 1, 3).astype(np.uint8))


def encoded(method: Method) -> tuple[State, list[Any]]:
    frames = pictures(method, 4)
    return method.encode([frames[0]]), list(method.read(frames[1:]))


def numbers(motion: Motion) -> np.ndarray:
    """Where a motion says to be."""
    return motion.code if isinstance(motion, Latent) else motion.value


def test_every_method_of_the_table_is_here() -> None:
    assert set(TINY) == set(methods.names())
    assert all(TINY.values())
    assert {methods.of_config(config) for config in ALL} == set(TINY)


def test_the_class_is_where_the_table_says(bundle: Path) -> None:
    card = Bundle.open(bundle).card
    kind = methods.method_class(card.method)
    loaded = load(bundle)
    assert type(loaded) is kind
    assert loaded.spec.name == card.method
    assert loaded.spec.weights == card.name
    assert loaded.spec.convention == card.convention
    assert (loaded.spec.crop, loaded.spec.margin) == (card.crop.kind, card.crop.margin)
    assert loaded.spec.checksum == card.fingerprint != ""


def test_shapes_and_ranges(method: Any) -> None:
    state, motions = encoded(method)
    assert all(isinstance(array, np.ndarray) and not array.flags.writeable for array in state.values())
    source = method.source_motion(state)
    for motion in [source, *motions]:
        assert type(motion) is KINDS[method.spec.motion]
        assert numbers(motion).shape == numbers(source).shape
        if not isinstance(motion, Latent):
            assert np.abs(motion.value).max() <= 1
    out = method.render(state, motions)
    assert out.planes.dtype == np.float32
    assert out.planes.shape == (3, 3, *method.spec.size)
    assert 0 <= out.planes.min() <= out.planes.max() <= 1
    assert out.frames.dtype == np.uint8
    assert out.frames.shape == (3, *method.spec.size, 3)
    assert len(out.flows) in (0, 3)  # none where pixels are painted, not moved
    for flow in out.flows:
        assert flow.convention == method.spec.convention
        if flow.occlusion is not None:
            assert 0 <= flow.occlusion.min() <= flow.occlusion.max() <= 1


def test_the_motion_matters(method: Any) -> None:
    state, motions = encoded(method)
    frames = method.render(state, motions).planes
    assert np.abs(frames[0] - frames[1]).max() > 1e-3


def test_the_same_twice_is_the_same_to_the_bit(method: Any) -> None:
    (state, motions), (again, motions_again) = encoded(method), encoded(method)
    for name, array in state.items():
        np.testing.assert_array_equal(array, again[name])
    for one, two in zip(motions, motions_again, strict=True):
        np.testing.assert_array_equal(numbers(one), numbers(two))
    first, second = method.render(state, motions), method.render(again, motions_again)
    np.testing.assert_array_equal(first.planes, second.planes)


def test_a_batch_is_its_frames_one_by_one(method: Any) -> None:
    frames = pictures(method, 4)
    state = method.encode([frames[0]])
    motions = method.read(frames)
    whole = method.render(state, motions)
    for i, frame in enumerate(frames):
        (alone,) = method.read(frame[None])
        np.testing.assert_allclose(numbers(alone), numbers(motions[i]), atol=1e-5)
        np.testing.assert_allclose(method.render(state, [motions[i]]).planes[0], whole.planes[i], atol=1e-5)
    np.testing.assert_allclose(numbers(method.source_motion(state)), numbers(motions[0]), atol=1e-5)


def test_nothing_is_asked_for_nothing(method: Any) -> None:
    state, _ = encoded(method)
    assert list(method.read(np.zeros((0, *method.spec.size, 3), np.uint8))) == []
    out = method.render(state, [])
    assert out.planes.shape == (0, 3, *method.spec.size)
    assert out.flows == ()


def test_the_order_of_frames_does_not_matter(method: Any) -> None:
    state, motions = encoded(method)
    forth, back = method.render(state, motions).planes, method.render(state, motions[::-1]).planes
    np.testing.assert_allclose(forth, back[::-1], atol=1e-5)


def test_the_source_is_encoded_once(bundle: Path) -> None:
    method = load(bundle)
    method.engine = Counting(method.engine)
    state, motions = encoded(method)
    before = method.engine.calls["encode"]
    method.render(state, motions)
    method.render(state, motions)
    method.source_motion(state)
    assert before == method.engine.calls["encode"] == 1


def test_encoding_leaves_the_state_alone(method: Any) -> None:
    state, motions = encoded(method)
    kept = {name: array.copy() for name, array in state.items()}
    method.render(state, motions)
    method.encode([pictures(method, 1, seed=9)[0]])
    for name, array in kept.items():
        np.testing.assert_array_equal(array, state[name])


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_every_engine_gives_the_same_frames(bundle: Path, engine: str) -> None:
    one, two = load(bundle), load(bundle, engine)
    assert one.spec == two.spec
    (state, motions), (other, others) = encoded(one), encoded(two)
    for a, b in zip(motions, others, strict=True):
        np.testing.assert_allclose(numbers(a), numbers(b), atol=1e-4)
    np.testing.assert_allclose(one.render(state, motions).planes, two.render(other, motions).planes, atol=1e-4)


def test_transfer_modes(bundle: Path) -> None:
    method = load(bundle)
    state, motions = encoded(method)
    source = method.source_motion(state)
    for mode in method.spec.modes:
        moved = [transfer(source, m, motions[0], mode=mode) for m in motions]
        assert np.isfinite(method.render(state, moved).planes).all()
    with pytest.raises(MotionError, match="unknown transfer mode 'sideways'"):
        transfer(source, motions[0], motions[1], mode="sideways")  # type: ignore[arg-type]


def test_transfer_modes_that_it_cannot_do_are_refused(bundle: Path) -> None:
    method = load(bundle)
    picture = pictures(method, 1)[0]
    assert Animator(method, picture).mode == method.spec.modes[0]
    for mode in {"relative", "absolute", "sideways"} - set(method.spec.modes):
        with pytest.raises(ConfigError, match=f"{method.spec.name} has no motion transfer called '{mode}'"):
            Animator(method, picture, mode=mode)  # type: ignore[arg-type]
    state, motions = encoded(method)
    if "relative" not in method.spec.modes:
        with pytest.raises(MotionError, match="cannot be moved relative"):
            transfer(method.source_motion(state), motions[0], motions[1], mode="relative")


def test_the_rest_pose_is_the_source_itself(bundle: Path) -> None:
    method = load(bundle)
    state, motions = encoded(method)
    source = method.source_motion(state)
    rest = transfer(source, motions[0], motions[0], mode="relative")
    np.testing.assert_array_equal(method.render(state, [rest]).planes, method.render(state, [source]).planes)


def test_several_sources_where_claimed(bundle: Path) -> None:
    """The same picture twice is that picture; the order does not matter; another picture does."""
    method = load(bundle)
    a, b, driving = pictures(method, 3, seed=5)
    if method.spec.max_sources == 1:
        for give in (lambda: method.encode([a, b]), lambda: Animator(method, a, also=[b])):
            with pytest.raises(ImageError, match="takes one source image, not 2") as caught:
                give()
            assert caught.value.hint == "choose one, or use a multi-source method"
        return
    motions = list(method.read(driving[None]))

    def frame(*sources: np.ndarray) -> np.ndarray:
        planes: np.ndarray = method.render(method.encode(list(sources)), motions).planes
        return planes

    animated = Animator(method, a, also=[b], mode="absolute").render(motions[0]).planes
    np.testing.assert_array_equal(animated, frame(a, b))
    np.testing.assert_allclose(frame(a, a), frame(a), atol=1e-5)
    np.testing.assert_allclose(frame(a, b), frame(b, a), atol=1e-5)
    assert np.abs(frame(a, b) - frame(a)).max() > 1e-4


def test_files_go_through_the_story(bundle: Path, scene: Scene, tmp_path: Path) -> None:
    """A picture and a clip become frames; the clip's motion, saved, makes the same ones."""
    method = load(bundle)
    report = animate(scene.picture, scene.clip, tmp_path / "out", method=method, sign="never")
    assert (report.motion, report.method) == (method.spec.modes[0], method.spec.name)
    read = read_motion(scene.clip, tmp_path / "motion.safetensors", method=method)
    again = animate(scene.picture, tmp_path / "motion.safetensors", tmp_path / "again", method=method, sign="never")
    assert report.frames == read.frames == again.frames > 2
    with open_video(tmp_path / "out") as one, open_video(tmp_path / "again") as two:
        assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def test_what_it_cannot_show_it_says(bundle: Path, scene: Scene, tmp_path: Path) -> None:
    method = load(bundle)
    state, motions = encoded(method)
    flows = method.render(state, motions[:1]).flows
    has = {
        "keypoints": method.spec.motion != "latent",
        "flow": bool(flows),
        "occlusion": any(flow.occlusion is not None for flow in flows),
    }
    for show, is_there in has.items():
        words: dict[str, Any] = {"method": method, "show": show, "sign": "never"}
        if is_there:
            animate(scene.picture, scene.clip, tmp_path / f"{show}.mp4", **words)
            continue
        with pytest.raises(MotionError, match=f"has no {show}"):
            animate(scene.picture, scene.clip, tmp_path / f"{show}.mp4", **words)


def test_wrong_frames_are_refused(bundle: Path) -> None:
    method = load(bundle)
    height, width = method.spec.size
    frame = np.zeros((height, width, 3), np.uint8)
    with pytest.raises(ImageError, match=f"source is {width}×{height * 2} pixels; .* wants {width}×{height}"):
        method.encode([np.zeros((height * 2, width, 3), np.uint8)])
    with pytest.raises(ImageError, match="source must be uint8"):
        method.encode([frame.astype(np.float32)])
    with pytest.raises(ImageError, match="not 0"):
        method.encode([])
    with pytest.raises(ImageError, match=f"not {method.spec.max_sources + 1}"):
        method.encode([frame] * (method.spec.max_sources + 1))
    with pytest.raises(ImageError, match=r"read takes a batch \(n, height, width, 3\)"):
        method.read(frame)
    with pytest.raises(ImageError, match="frame is 8×8 pixels"):
        method.read(np.zeros((2, 8, 8, 3), np.uint8))


def test_wrong_motion_is_refused(bundle: Path) -> None:
    method = load(bundle)
    state, motions = encoded(method)
    motion = motions[0]
    count = len(numbers(motion))
    longer = Latent(np.zeros(count + 1)) if isinstance(motion, Latent) else type(motion)(np.zeros((count + 1, 2)))
    other = Keypoints(np.zeros((count, 2))) if isinstance(motion, Latent) else Latent(np.zeros(count))
    for wrong, seen in ((longer, f"{count + 1} "), (other, type(other).__name__)):
        with pytest.raises(MotionError, match=f"takes {count} .*, not {seen}") as caught:
            method.render(state, [wrong])
        assert caught.value.hint == "read the motion with the same weights"
    if isinstance(motion, Keypoints):
        spread = None if motion.jacobian is not None or motion.covariance is not None else np.zeros((count, 2, 2))
        with pytest.raises(MotionError, match=r"(Jacobians|covariances), but the motion comes"):
            method.render(state, [Keypoints(motion.value, spread)])


def test_a_network_that_returns_nan_says_so(bundle: Path) -> None:
    method = load(bundle)
    state, motions = encoded(method)

    class Broken(Counting):
        def run(self, stage: str, **arrays: np.ndarray) -> dict[str, np.ndarray]:
            return {k: np.full_like(v, np.nan) for k, v in super().run(stage, **arrays).items()}

    method.engine = Broken(method.engine)
    for call in (
        lambda: method.read(pictures(method, 1)),
        lambda: method.encode([pictures(method, 1)[0]]),
        lambda: method.render(state, motions),
    ):
        with pytest.raises(EngineError, match="the network returned NaN or infinity") as caught:
            call()
        assert "may be damaged" in caught.value.hint


def test_saved_and_loaded_again_it_is_the_same(bundle: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="saving weights needs torch")
    opened = Bundle.open(bundle)
    weights = methods.method_weights(opened.card.method)
    config = opened.config(methods.method_class(opened.card.method).config_type)
    networks = weights.open_networks(opened)
    again = weights.save_bundle(networks, config, tmp_path / "again", name=opened.card.name, keep="tensors")
    reopened = Bundle.open(again)
    assert reopened.card.fingerprint == opened.card.fingerprint
    assert reopened.config(type(config)) == config

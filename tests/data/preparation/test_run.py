"""Whole runs on tiny videos: clips, resuming, what goes wrong, processes and Ray."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from stillmotion.core.errors import ConfigError, EngineError, MissingExtraError, OutputError
from stillmotion.data.check import check
from stillmotion.data.clips import find_clips
from stillmotion.data.decode import raw_frames
from stillmotion.data.preparation.annotations import read_annotations
from stillmotion.data.preparation.entries import Entry, list_annotated, list_folder
from stillmotion.data.preparation.footage import ClipFile, Footage, at_rate
from stillmotion.data.preparation.jobs import Job, Plan, do
from stillmotion.data.preparation.journal import NAME, Journal
from stillmotion.data.preparation.pool import run_processes, run_ray
from stillmotion.data.preparation.published import read_set
from stillmotion.data.preparation.run import ANNOTATIONS, REPORT, Summary, prepare
from tests.data.preparation.conftest import RULE, square_frames
from tests.scene import pictures, write_clip

HEAD = "video_id,start,end,bbox,fps,width,height,partition,person_id"


def state(output: Path) -> dict[str, object]:
    """All clips in a folder: of pictures every byte, of encoded ones the length (x264 with threads varies by a bit)."""
    return {
        path.relative_to(output).as_posix(): [one.read_bytes() for one in sorted(path.iterdir())]
        if path.is_dir()
        else len(pictures(path))
        for path in sorted(output.rglob("*.mp4"))
    }


def run(videos: Path, plan: Plan, **changes: Any) -> Summary:
    return prepare(list_folder(videos), plan, **({"workers": 0} | changes))


def test_a_folder_of_videos_becomes_a_set(videos: Path, plan: Callable[..., Plan]) -> None:
    seen = []
    summary = run(videos, plan(), progress=lambda done, total: seen.append((done, total)))
    output = plan().output
    assert (summary.clips, summary.frames, summary.identities) == (
        {"train": 2, "test": 1},
        {"train": 12, "test": 6},
        {"train": 2, "test": 1},
    )
    assert summary.videos == {"done": 3}
    assert summary.problems == []
    assert summary.wander is not None
    assert summary.wander > 0
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert {name.split("/")[1] for name in state(output)} == {f"{p}#1#000000#000006.mp4" for p in ("ann", "bob", "cy")}
    assert check(output).ok
    assert json.loads((output / REPORT).read_text())["clips"] == {"train": 2, "test": 1}


def test_the_clip_is_the_smallest_crop_with_its_margin(videos: Path, plan: Callable[..., Plan]) -> None:
    run(videos, plan())
    (row,) = [one for one in read_annotations(plan().output / ANNOTATIONS)[0] if one.person == "ann"]
    # The square is at 20 to 25 and 24 wide: 29 pixels, 34.8 with a tenth on each side.
    assert abs(row.box.width - 34.8) <= 1
    assert row.box.width == row.box.height
    clip = pictures(next(plan().output.rglob("ann*.mp4")))
    assert len(clip) == 6
    assert clip[0].shape == (32, 32, 3)
    assert clip[0][16, 8].min() > 150
    assert clip[0][16, 29].max() < 110


def test_stretched_crops_are_resized_as_they_are(videos: Path, plan: Callable[..., Plan]) -> None:
    run(videos, plan(rule=replace(RULE, shape="stretched")))
    row = read_annotations(plan().output / ANNOTATIONS)[0][0]
    assert row.box.width > row.box.height + 4
    assert pictures(next(plan().output.rglob("*.mp4")))[0].shape == (32, 32, 3)


def test_a_set_is_cut_again_from_its_own_annotations(videos: Path, plan: Callable[..., Plan], tmp_path: Path) -> None:
    run(videos, plan(kind="png"))
    rows, wrong = read_annotations(plan().output / ANNOTATIONS)
    assert wrong == []
    again = plan(output=tmp_path / "again", finder=None, kind="png")
    prepare(list_annotated(videos, rows), again, workers=0)
    assert state(again.output) == state(plan().output)


def test_videos_in_folders_are_found_again_by_their_annotations(
    videos: Path, plan: Callable[..., Plan], tmp_path: Path
) -> None:
    (videos / "deep").mkdir()
    (videos / "ann#1.mp4").rename(videos / "deep" / "ann#1.mp4")
    (videos / "cy#1.mp4").rename(videos / "001_deliberate_smile_1.mp4")
    (videos / "bob#1.mp4").unlink()
    run(videos, plan())
    rows, _ = read_annotations(plan().output / ANNOTATIONS)
    assert {row.video for row in rows} == {"deep/ann#1", "001_deliberate_smile_1"}
    assert prepare(list_annotated(videos, rows), plan(output=tmp_path / "again"), workers=0).missing == 0
    prepare(read_set("nemo", videos), plan(output=tmp_path / "nemo"), workers=0)
    (row,), _ = read_annotations(tmp_path / "nemo" / ANNOTATIONS)
    assert row.video == "001_deliberate_smile_1"


def test_pictures_in_folders_that_are_named_like_videos(videos: Path, plan: Callable[..., Plan]) -> None:
    run(videos, plan(kind="png"))
    assert len([clip for part in ("train", "test") for clip in find_clips(plan().output / part)]) == 3
    assert len(list((plan().output).rglob("ann#1#000000#000006.mp4/*.png"))) == 6
    shutil.rmtree(next(plan().output.rglob("ann*.mp4")))
    assert run(videos, plan(kind="png")).skipped == 2


def test_a_second_run_does_nothing(videos: Path, plan: Callable[..., Plan]) -> None:
    run(videos, plan())
    before = {path: path.stat().st_mtime_ns for path in plan().output.rglob("*.mp4")}
    summary = run(videos, plan())
    assert summary.skipped == 3
    assert summary.clips == {"train": 2, "test": 1}
    assert {path: path.stat().st_mtime_ns for path in plan().output.rglob("*.mp4")} == before


def test_what_changed_is_done_again(videos: Path, plan: Callable[..., Plan]) -> None:
    run(videos, plan())
    write_clip(videos / "ann#1.mp4", square_frames([30] * 5), fps=Fraction(25))
    next(plan().output.rglob("bob*.mp4")).unlink()
    write_clip(videos / "dan#1.mp4", square_frames([30] * 5), fps=Fraction(25))
    sides = {path.name[:3]: path.parent.name for path in plan().output.rglob("*.mp4")}
    summary = run(videos, plan())
    names = {path.name: path.parent.name for path in plan().output.rglob("*.mp4")}
    assert summary.skipped == 1
    assert set(names) == {
        f"{one}.mp4" for one in ("ann#1#000000#000005", "bob#1#000000#000006", "cy#1#000000#000006")
    } | {"dan#1#000000#000005.mp4"}
    assert all(names[name] == sides[name[:3]] for name in names if name[:3] in sides)


@pytest.mark.parametrize("cut", [1, 40])
def test_a_torn_journal_loses_and_doubles_nothing(videos: Path, plan: Callable[..., Plan], cut: int) -> None:
    run(videos, plan())
    before = state(plan().output)
    journal = plan().output / NAME
    journal.write_bytes(journal.read_bytes()[:-cut])
    left = plan().output / "train" / "bob#1#000000#000006.partial.mp4"
    left.write_bytes(b"half")
    summary = run(videos, plan())
    assert summary.skipped == 2
    assert state(plan().output) == before
    assert all(json.loads(line) for line in journal.read_text().splitlines())


def test_a_killed_run_goes_on(videos: Path, plan: Callable[..., Plan], tmp_path: Path) -> None:
    for i in range(5):
        write_clip(videos / f"p{i}#1.mp4", square_frames([20] * 40), fps=Fraction(25))
    output = tmp_path / "killed"
    words = [sys.executable, "-m", "stillmotion", "prepare", "folder", str(videos), "-o", str(output)]
    words += ["--size", "32", "--workers", "1"]
    began = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    journal = output / NAME
    for _ in range(2000):
        if journal.exists() and journal.read_bytes().count(b"\n") >= 4:
            break
        time.sleep(0.01)
    os.kill(began.pid, signal.SIGKILL)
    began.wait()
    done = journal.read_bytes().count(b"\n") - 2
    assert 0 < done <= 8
    assert subprocess.run(words, capture_output=True, check=False, timeout=100).returncode == 0
    names = [json.loads(line)["video"] for line in journal.read_text().splitlines()[2:]]
    assert len(names) == len(set(names)) == 8
    assert len(state(output)) == 8
    assert not list(output.rglob("*partial*"))


def test_one_corrupt_video_costs_only_itself(videos: Path, plan: Callable[..., Plan]) -> None:
    (videos / "broken#1.mp4").write_bytes(b"no video at all")
    whole = (videos / "cy#1.mp4").read_bytes()
    (videos / "torn#1.mp4").write_bytes(whole[: len(whole) // 2])
    summary = run(videos, plan(), test_share=0)
    assert summary.videos == {"failed": 2, "done": 3}
    assert [line.split(":")[:2] for line in summary.problems] == [["broken#1", " failed"], ["torn#1", " failed"]]
    assert len(state(plan().output)) == 3
    assert "problem: broken#1: failed" in summary.text()
    shutil.copy(videos / "cy#1.mp4", videos / "broken#1.mp4")
    assert run(videos, plan(), test_share=0).videos == {"done": 4, "failed": 1}


def test_any_error_of_a_library_is_that_videos_alone(
    videos: Path, plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Footage.frames

    def crash(self: Footage) -> Any:
        if self.clip.name.startswith("bob"):
            raise MemoryError("too much")
        return whole(self)

    monkeypatch.setattr(Footage, "frames", crash)
    summary = run(videos, plan())
    assert summary.problems == ["bob#1: failed: MemoryError: too much"]
    assert summary.videos == {"done": 2, "failed": 1}


def test_a_full_disk_ends_the_run_and_leaves_nothing_half(
    videos: Path, plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ClipFile.write

    def full(self: ClipFile, frame: np.ndarray) -> None:
        if self.frames == 3:
            raise OutputError("the disk is full", hint="free some space")
        whole(self, frame)

    monkeypatch.setattr(ClipFile, "write", full)
    with pytest.raises(OutputError, match="the disk is full"):
        run(videos, plan())
    assert not list(plan().output.rglob("*.mp4"))
    monkeypatch.undo()
    assert run(videos, plan()).videos == {"done": 3}


def rows(path: Path, *lines: str) -> Path:
    path.write_text("\n".join([HEAD, *lines]) + "\n", encoding="utf-8")
    return path


def test_missing_videos_are_counted_and_listed(videos: Path, plan: Callable[..., Plan], tmp_path: Path) -> None:
    lines = ["ann#1,0,5,20-10-60-50,25,96,64,train,ann", "bob#1,0,5,20-10-60-50,25,96,64,test,bob"]
    lines += ["gone,0,5,20-10-60-50,25,96,64,train,eve", "gone,9,15,20-10-60-50,25,96,64,train,eve"]
    annotations, _ = read_annotations(rows(tmp_path / "a.csv", *lines))
    summary = prepare(list_annotated(videos, annotations), plan(), workers=0)
    assert summary.missing == 2
    assert summary.videos == {"done": 2, "missing": 1}
    assert summary.problems == ["gone: missing: there is no video gone (2 annotated clips)"]
    assert "2 annotated clips have no video" in summary.text()
    write_clip(videos / "gone.mp4", square_frames([20] * 20), fps=Fraction(25))
    assert prepare(list_annotated(videos, annotations), plan(), workers=0).missing == 0
    assert set(state(plan().output)) == {
        "train/ann#1#000000#000005.mp4",
        "test/bob#1#000000#000005.mp4",
        "train/eve#gone#000000#000005.mp4",
        "train/eve#gone#000009#000015.mp4",
    }


def test_a_clip_past_the_end_is_said(videos: Path, plan: Callable[..., Plan], tmp_path: Path) -> None:
    lines = ["ann#1,2,50,20-10-60-50,25,96,64,train,ann", "ann#1,40,50,20-10-60-50,25,96,64,train,ann"]
    annotations, _ = read_annotations(rows(tmp_path / "a.csv", *lines))
    summary = prepare(list_annotated(videos, annotations), plan(), workers=0)
    assert summary.frames["train"] == 4
    assert "4 of 48 frames, the video ends before" in summary.problems[0]
    assert "not made, the video ends before frame 40" in summary.problems[1]
    assert summary.dropped == {"after the end": 1}


@pytest.mark.parametrize(("leaks", "clips"), [("keep", {"train": 2, "test": 1}), ("drop", {"train": 1, "test": 1})])
def test_leaks_are_reported_and_dropped_if_asked(
    videos: Path, plan: Callable[..., Plan], tmp_path: Path, leaks: Any, clips: dict[str, int]
) -> None:
    lines = ["ann#1,0,5,20-10-60-50,25,96,64,train,ann", "cy#1,0,5,20-10-60-50,25,96,64,train,cy"]
    lines += ["bob#1,0,5,20-10-60-50,25,96,64,test,ann"]
    annotations, _ = read_annotations(rows(tmp_path / "a.csv", *lines))
    summary = prepare(list_annotated(videos, annotations), plan(), workers=0, leaks=leaks)
    assert summary.clips == clips
    assert summary.leaked_identities == ["ann"]
    assert "warning: in both train and test: ann" in summary.text()


def test_a_guide_says_which_face_is_meant(plan: Callable[..., Plan], tmp_path: Path) -> None:
    videos, texts = tmp_path / "vox", tmp_path / "txt" / "id10001" / "talk"
    videos.mkdir()
    texts.mkdir(parents=True)
    write_clip(videos / "talk.mp4", square_frames([20] * 12), fps=Fraction(25))
    # At 360 lines the square of a frame of 64 is at 112 and 135 wide.
    (texts / "00001.txt").write_text("FRAME X Y W H\n" + "".join(f"{i} 112 112 135 135\n" for i in range(2, 8)))
    (texts / "00002.txt").write_text("FRAME X Y W H\n" + "".join(f"{i} 450 112 50 50\n" for i in range(8, 12)))
    summary = prepare(read_set("voxceleb", videos, tmp_path / "txt"), plan(), workers=0)
    assert list(state(plan().output)) == ["train/id10001#talk#000002#000008.mp4"]
    assert summary.videos == {"done": 1}


def test_whole_frames_without_a_finder(videos: Path, plan: Callable[..., Plan]) -> None:
    shutil.copytree(videos, videos / "train")
    for path in videos.glob("*.mp4"):
        path.unlink()
    run(videos, plan(finder=None, rule=replace(RULE, least_frames=2, most_frames=4, least_side=1)))
    assert len(state(plan().output)) == 6
    row = read_annotations(plan().output / ANNOTATIONS)[0][0]
    assert (row.box.left, row.box.right, row.box.bottom) == (16, 80, 64)


def test_sparse_frames(videos: Path, plan: Callable[..., Plan]) -> None:
    timed = [(Fraction(i, 25), np.full((1, 1, 3), i, np.uint8)) for i in range(60)]
    assert [int(frame[0, 0, 0]) for frame in at_rate(iter(timed), Fraction(1))] == [0, 25, 50]
    assert [int(f[0, 0, 0]) for f in at_rate(iter(timed[:3]), Fraction(50))] == [0, 0, 1, 1, 2]
    summary = run(videos, plan(rate=Fraction(50, 4), rule=replace(RULE, least_frames=2)))
    assert summary.frames == {"train": 6, "test": 3}


def test_nobody_found_is_counted(plan: Callable[..., Plan], tmp_path: Path) -> None:
    (tmp_path / "dark").mkdir()
    write_clip(tmp_path / "dark" / "a.mp4", square_frames([None] * 5), fps=Fraction(25))
    summary = run(tmp_path / "dark", plan())
    assert summary.dropped == {"nobody found": 1}
    assert not summary.ok


def test_other_options_need_another_folder(videos: Path, plan: Callable[..., Plan]) -> None:
    run(videos, plan())
    with pytest.raises(ConfigError, match="was begun with another size: 32, not 64"):
        run(videos, plan(size=64))
    with pytest.raises(ConfigError, match="size 33 makes no sense"):
        plan(size=33)
    with pytest.raises(ConfigError, match="fps 0 makes no sense"):
        plan(rate=Fraction(0))


def test_clips_are_never_taken_for_videos(videos: Path, plan: Callable[..., Plan]) -> None:
    for output in (videos, videos / "set", videos / "deep" / "set"):
        with pytest.raises(ConfigError, match="lies in the folder of videos"):
            plan(output=output)


def test_a_test_side_without_a_clip_is_said(videos: Path, plan: Callable[..., Plan]) -> None:
    run(videos, plan())
    (held,) = [path.name[:-18] for path in (plan().output / "test").glob("*.mp4")]
    write_clip(videos / f"{held}.mp4", square_frames([None] * 6), fps=Fraction(25))
    summary = run(videos, plan())
    assert summary.clips == {"train": 2, "test": 0}
    assert summary.problems[0].startswith("nobody is held out: of the people chosen for testing no clip came")
    assert not run(videos, plan(), test_share=0.0).problems[1:]


def test_two_runs_at_once_are_refused(plan: Callable[..., Plan]) -> None:
    pytest.importorskip("fcntl", reason="locks are of POSIX systems")
    facts = plan().as_dict()
    with Journal(plan().output, facts), pytest.raises(OutputError, match="another run is preparing into"):
        Journal(plan().output, facts)


def test_what_is_not_ours_is_said(videos: Path, plan: Callable[..., Plan]) -> None:
    run(videos, plan())
    shutil.copy(videos / "ann#1.mp4", plan().output / "train" / "zed.mp4")
    assert run(videos, plan()).problems == ["train/zed.mp4 was not made here: remove it, or know why it is there"]


def test_processes_and_one_that_dies() -> None:
    jobs: list[Callable[[], int]] = [partial(pow, 2, 2), partial(os._exit, 3), partial(pow, 3, 2)]
    answers = dict(run_processes(jobs, workers=2, lost=lambda index: -index))
    assert answers == {0: 4, 1: -1, 2: 9}


def test_processes_cut_the_same_clips(videos: Path, plan: Callable[..., Plan], tmp_path: Path) -> None:
    here, there = plan(finder=None, kind="png"), plan(finder=None, output=tmp_path / "there", kind="png")
    run(videos, here)
    run(videos, there, workers=2)
    assert state(here.output) == state(there.output)


def test_a_local_ray_cuts_the_same_clips(videos: Path, plan: Callable[..., Plan], tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the extra ray is not installed")
    here, there = plan(finder=None, kind="png"), plan(finder=None, output=tmp_path / "there", kind="png")
    (videos / "broken.mp4").write_bytes(b"no video")
    run(videos, here)
    words = [sys.executable, "-m", "stillmotion", "prepare", "folder", str(videos), "-o", str(there.output)]
    words += ["--size", "32", "--most-frames", "8", "--least-frames", "4", "--least-side", "16", "--format", "png"]
    words += ["--ray", "--workers", "1"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("Ray is installed, but no local cluster starts on this machine within two minutes")
    if "no Ray cluster at this machine" in done.stderr:
        pytest.skip("Ray is installed, but no local cluster starts on this machine in the time Ray gives it")
    assert done.returncode == 0, done.stderr
    assert "1 failed" in done.stdout
    assert state(here.output) == state(there.output)


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match="--ray needs ray") as caught:
        list(run_ray([int], workers=1, lost=lambda index: index))
    assert caught.value.hint == "pip install 'stillmotion[ray]'"


class _Pretended:
    """What `run_ray` uses of Ray, in this process."""

    exceptions = SimpleNamespace(RayTaskError=KeyError, RayError=ChildProcessError)

    def __init__(self) -> None:
        self.most = self.shut = 0

    def is_initialized(self) -> bool:
        return False

    def init(self, **options: Any) -> None:
        assert options["num_cpus"] == 1

    def shutdown(self) -> None:
        self.shut += 1

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 1.0}

    def remote(self, **options: Any) -> Callable[[Any], Any]:
        return lambda function: SimpleNamespace(remote=lambda job: (function, job))

    def wait(self, running: list[Any], *, num_returns: int) -> tuple[list[Any], list[Any]]:
        self.most = max(self.most, len(running))
        return running[:num_returns], running[num_returns:]

    def get(self, reference: Any) -> Any:
        return reference[0](reference[1])

    def cancel(self, reference: Any, *, force: bool) -> None:
        raise AssertionError("nothing is left to cancel")


def _die() -> int:
    raise ChildProcessError("the worker died")


def test_what_ray_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    pretended = _Pretended()
    monkeypatch.setitem(sys.modules, "ray", pretended)  # type: ignore[arg-type]
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    jobs: list[Callable[[], int]] = [partial(pow, 2, 2), _die, partial(pow, 3, 2)]
    assert dict(run_ray(jobs, workers=1, lost=lambda index: -index)) == {0: 4, 1: -1, 2: 9}
    assert (pretended.most, pretended.shut) == (2, 1)


def test_a_cluster_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**options: Any) -> None:
        raise ConnectionError(f"nobody at {options['address']}")

    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: False, init=init))
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    with pytest.raises(EngineError, match=r"no Ray cluster at 10\.0\.0\.1:6379"):
        list(run_ray([int], workers=1, lost=lambda index: index))


def test_damage_is_said(videos: Path, plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Footage.frames

    def patched(self: Footage) -> Any:
        yield from whole(self)
        self.damaged = 2

    monkeypatch.setattr(Footage, "frames", patched)
    record = do(Job(plan(), Entry("a", find_clips(videos)[0], "a", "train")))
    assert record["problems"] == ["2 pictures could not be decoded and were skipped or patched up"]


def test_strips_are_footage_too(tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(np.concatenate(square_frames([1, 2, 3]), axis=1)[:, :192]).save(tmp_path / "strip.png")
    (clip,) = find_clips(tmp_path)
    footage = Footage.open(clip)
    assert (footage.size, footage.fps) == ((64, 64), 25)
    assert len(list(footage.frames())) == len(list(raw_frames(clip))) == 3

"""Candidates on test clips: the table, its two forms, and that nothing is left out in silence."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stillmotion.cli import main
from stillmotion.core.errors import ConfigError, DataError, WeightsError
from stillmotion.core.frame import Frame, to_planes
from stillmotion.core.method import MethodSpec, Rendering, State
from stillmotion.core.motion import Keypoints
from stillmotion.data.decode import Fit
from stillmotion.evaluate.candidates import (
    Candidate,
    Made,
    Rebuilding,
    common_fit,
    named_apart,
    open_candidate,
)
from stillmotion.evaluate.evaluation import Evaluation, evaluate, open_clips
from stillmotion.evaluate.naming import find_weights
from stillmotion.evaluate.providers import Detector, Embedder
from stillmotion.evaluate.table import COPYING, TRUTH
from stillmotion.evaluate.tally import COLUMNS, Instruments, open_instruments

SIDE = 32


class Exact:
    """A method whose answer is what drives it, off by `error`."""

    engine = None

    def __init__(self, *, error: float = 0.0, size: int = SIDE) -> None:
        self.spec = MethodSpec("exact", "none", (size, size), "keypoints", ("absolute",), 1, "centers")
        self.error, self.seen = error, np.zeros(0)

    def encode(self, sources: Sequence[Frame]) -> State:
        return {"source": to_planes(np.stack(sources))}

    def source_motion(self, state: State) -> Keypoints:
        return Keypoints(np.zeros((1, 2)))

    def read(self, frames: np.ndarray) -> list[Keypoints]:
        self.seen = to_planes(frames)
        return [Keypoints(np.zeros((1, 2)))] * len(frames)

    def render(self, state: State, motions: Sequence[Keypoints]) -> Rendering:
        return Rendering(self.seen + np.float32(self.error), ())


def disc(index: int, *, side: int = SIDE) -> Frame:
    """A bright disc that wanders to the right over waves."""
    y, x = np.mgrid[:side, :side]
    frame = np.stack([40 + 30 * np.sin(x / 2), 40 + 30 * np.sin(y / 3), 30 + 0.0 * x], -1)
    frame[(x - 8 - index) ** 2 + (y - 16) ** 2 < 36] = 230
    return frame.astype(np.uint8)


def find_disc(frame: Frame) -> np.ndarray | None:
    """Centre and right end of what is bright; None where nothing is."""
    rows, columns = np.nonzero(frame.min(-1) > 200)
    return np.array([[columns.mean(), rows.mean()], [columns.max(), rows.mean()]]) if len(rows) else None


DISCS = Detector("discs", "faces", find_disc)
COLOURS = Embedder("colours", lambda frames: frames.mean((1, 2)) / 255)


def write_strip(path: Path, frames: Sequence[Frame]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(list(frames), axis=1)).save(path)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three test clips of 4, 11 and 3 frames."""
    for name, count in (("a", 4), ("b", 11), ("c", 3)):
        write_strip(tmp_path / "clips" / "test" / f"{name}.png", [disc(i) for i in range(count)])
    (tmp_path / "clips" / "train").mkdir()
    return tmp_path / "clips"


def instruments(**others: object) -> Instruments:
    tools, _ = open_instruments((SIDE, SIDE), detector="none")
    return Instruments(tools.measures, **({"detector": DISCS, "embedder": COLOURS, "features": COLOURS} | others))  # type: ignore[arg-type]


def run(data: Path, *candidates: Candidate, **others: object) -> Evaluation:
    clips = open_clips(data, Fit((SIDE, SIDE)))
    return evaluate(candidates, clips, instruments(**others))


def means(result: Evaluation) -> dict[str, dict[str, list[float]]]:
    return result.as_dict()["means"]  # type: ignore[return-value]


def test_a_perfect_answer(data: Path) -> None:
    got = means(run(data, Rebuilding("perfect", Exact())))
    for score in ("l1_paper", "l1_exact", "akd_paper", "akd_exact", "mkr_paper", "aed_paper", "frechet"):
        assert got["perfect"][score][0] == pytest.approx(0, abs=1e-6), score
    assert got["perfect"]["found"][0] == 1
    assert got["perfect"]["jitter"] == got[TRUTH]["jitter"]
    assert got["perfect"]["warping"] == got[TRUTH]["warping"]


def test_two_forms_of_l1(data: Path) -> None:
    """Paper: before rounding, frame 0 counts. Exact: what is written, frame 0 was given."""
    got = means(run(data, Rebuilding("off", Exact(error=0.0007))))
    assert got["off"]["l1_paper"][0] == pytest.approx(0.0007, rel=1e-3)
    assert got["off"]["l1_exact"][0] == 0
    gaps = [[np.abs(disc(i) / 255 - disc(0) / 255).mean() for i in range(count)] for count in (4, 11, 3)]
    assert got[COPYING]["l1_paper"][0] == pytest.approx(np.mean(np.concatenate(gaps)), rel=1e-5)
    assert got[COPYING]["l1_exact"][0] == pytest.approx(np.mean(np.concatenate([gap[1:] for gap in gaps])), rel=1e-5)


def test_two_forms_of_akd_and_aed(data: Path) -> None:
    """The disc of frame i is i pixels to the right of that of frame 0."""
    got = means(run(data, Rebuilding("perfect", Exact())))[COPYING]
    ways = [i for count in (4, 11, 3) for i in range(count)]
    assert got["akd_exact"][0] == pytest.approx(np.mean(ways))
    assert got["akd_paper"][0] == pytest.approx(np.mean(ways) / 2)
    assert got["jitter"][0] == 0
    assert got["akd_exact"][1] <= got["akd_exact"][0] <= got["akd_exact"][2]


def test_missing_detections_are_counted(data: Path, tmp_path: Path) -> None:
    """Half of the frames of clip b are black."""
    for name, count in (("a", 4), ("b", 11), ("c", 3)):
        frames = [disc(i) * (name != "b" or i < 6) for i in range(count)]
        write_strip(tmp_path / "made" / f"{name}.png", frames)
    got = means(run(data, Made(tmp_path / "made")))["made"]
    assert got["mkr_exact"][0] == pytest.approx(5 / 18)
    assert got["mkr_paper"][0] == pytest.approx(5 / 18)
    assert got["found"][0] == pytest.approx(13 / 18)
    assert got["akd_exact"][0] == pytest.approx(0)


def test_an_answer_in_which_nothing_is_found_is_said(data: Path, tmp_path: Path) -> None:
    for name, count in (("a", 4), ("b", 11), ("c", 3)):
        write_strip(tmp_path / "black" / f"{name}.png", [disc(i) * 0 for i in range(count)])
    result = run(data, Made(tmp_path / "black"))
    got = means(result)["black"]
    assert got["mkr_exact"][0] == 1
    assert "akd_exact" not in got
    why = "discs finds nothing in any frame of the answer"
    assert f"- black, 3 clips (a, b, c): AKD paper, AKD exact *not measured* ({why})." in result.markdown()
    assert ("black", "a", "akd_exact", why) in result.partly


def test_a_detector_that_finds_nothing_is_said(data: Path) -> None:
    result = run(data, Rebuilding("perfect", Exact()), detector=Detector("blind", "faces", lambda frame: None))
    said = [line for line in result.markdown().splitlines() if "blind finds nothing" in line]
    assert said == [
        "- everybody, 3 clips (a, b, c): AKD paper, AKD exact, MKR paper, MKR exact *not measured* "
        "(blind finds nothing in any true frame)."
    ]
    assert means(result)[TRUTH]["found"][0] == 0


def test_one_true_frame_without_a_face_stops_the_paper_form_alone(data: Path) -> None:
    write_strip(data / "test" / "a.png", [disc(0), disc(1) * 0, disc(2)])
    result = run(data, Rebuilding("perfect", Exact()))
    assert "everybody, clip a: AKD paper *not measured* (the true frame 1 shows no face" in result.markdown()
    entry = next(e for e in result.entries if (e.who, e.clip) == ("perfect", "a"))
    assert "akd_exact" in entry.scores
    assert "akd_paper" not in entry.scores


@pytest.mark.parametrize(
    ("count", "said"), [(3, "clip a ends after 3 frames, the true one goes on"), (5, "clip a goes on after the 4")]
)
def test_clips_of_another_length(data: Path, tmp_path: Path, count: int, said: str) -> None:
    write_strip(tmp_path / "made" / "a.png", [disc(i) for i in range(count)])
    write_strip(tmp_path / "made" / "c.png", [disc(i) for i in range(3)])
    result = run(data, Made(tmp_path / "made"))
    assert [(who, clip) for who, clip, _ in result.missed] == [("made", "a"), ("made", "b")]
    assert said in result.markdown()
    assert "made, clip b: not scored (made has no clip b)" in result.markdown()
    assert {entry.clip for entry in result.entries if entry.who == COPYING} == {"a", "b", "c"}


def test_a_candidate_without_any_clip_is_an_error(data: Path, tmp_path: Path) -> None:
    write_strip(tmp_path / "made" / "other.png", [disc(0), disc(1)])
    with pytest.raises(DataError, match="could be scored for made: made has no clip a") as caught:
        run(data, Made(tmp_path / "made"))
    assert caught.value.hint.startswith("a folder of clips is named like the true ones")


def test_no_clips_asked_for(data: Path) -> None:
    clips = open_clips(data, Fit((SIDE, SIDE)))
    with pytest.raises(ConfigError, match="0 clips make no score"):
        evaluate([Rebuilding("perfect", Exact())], clips, instruments(), videos=0)


def test_who_lacks_the_first_clip_keeps_his_row(data: Path, tmp_path: Path) -> None:
    write_strip(tmp_path / "made" / "c.png", [disc(i) for i in range(3)])
    page = run(data, Made(tmp_path / "made"), Rebuilding("perfect", Exact())).markdown()
    places = [page.index(f"| {who} |") for who in (COPYING, "made", "perfect", TRUTH)]
    assert places == sorted(places)


def test_a_broken_clip_costs_only_itself_and_is_said(data: Path) -> None:
    (data / "test" / "b.png").write_bytes(b"no picture")
    result = run(data, Rebuilding("perfect", Exact()))
    assert [(who, clip) for who, clip, _ in result.missed] == [("everybody", "b")]
    assert "### reconstruct: 2 clips" in result.markdown()


def test_a_longer_clip_weighs_more(data: Path) -> None:
    result = run(data, Rebuilding("off", Exact(error=0.25)))
    counts = {e.clip: e.counts["l1_paper"] for e in result.entries if e.who == "off"}
    assert counts == {"a": 4, "b": 11, "c": 3}


def test_unmeasured_is_printed_and_no_number_stands_in(data: Path) -> None:
    tools, why = open_instruments((SIDE, SIDE), detector="none")
    result = evaluate([Rebuilding("perfect", Exact())], open_clips(data, Fit((SIDE, SIDE))), tools, unmeasured=why)
    page = result.markdown()
    for title in ("AKD paper", "AED exact", "Fréchet", "LPIPS", "MS-SSIM"):
        assert f"- {title}: *not measured* (" in page
    table = page[page.index("###") : page.index("In brackets")]
    assert "AKD" not in table
    assert "| SSIM ↑ |" in table


def test_one_table_in_three_files(data: Path, tmp_path: Path) -> None:
    result = run(data, Rebuilding("perfect", Exact()), Rebuilding("off", Exact(error=0.1)))
    paths = result.save(tmp_path / "scores")
    assert [path.name for path in paths] == ["evaluate.md", "evaluate.csv", "evaluate.json"]
    page = paths[0].read_text()
    places = [page.index(f"| {who} |") for who in (COPYING, "perfect", "off", TRUTH)]
    assert places == sorted(places)
    rows = list(csv.DictReader(paths[1].read_text().splitlines()))
    assert {row["who"] for row in rows} == {COPYING, "perfect", "off", TRUTH}
    content = json.loads(paths[2].read_text())
    assert content["means"]["off"]["l1_paper"][0] == pytest.approx(0.1, abs=1e-4)
    assert set(content["means"]["off"]) <= set(COLUMNS)
    assert sorted(p.name for p in (tmp_path / "scores").iterdir()) == sorted(p.name for p in paths)


def test_candidates_must_want_the_same_frames() -> None:
    pair = [Rebuilding("small", Exact(size=16)), Rebuilding("large", Exact())]
    with pytest.raises(
        ConfigError, match="small and large want different frames: 16x16, whole crop and 32x32"
    ) as caught:
        common_fit(pair)
    assert "score them apart" in caught.value.hint
    assert common_fit(pair[1:]).size == (SIDE, SIDE)
    with pytest.raises(ConfigError, match="large wants 32x32, whole crop, not 64x64"):
        common_fit(pair[1:], size=64)


def test_frames_of_folders_alone(tmp_path: Path) -> None:
    write_strip(tmp_path / "made" / "a.png", [disc(0), disc(1)])
    with pytest.raises(ConfigError, match="no weights say which frames"):
        common_fit([Made(tmp_path / "made")])
    assert common_fit([Made(tmp_path / "made")], size=SIDE).size == (SIDE, SIDE)


def test_equal_names_are_told_apart() -> None:
    pair = named_apart([Rebuilding("x", Exact()), Rebuilding("x", Exact())], ["one", "two"])
    assert [candidate.name for candidate in pair] == ["x [one]", "x [two]"]


def test_a_run_stands_for_its_bundle(tmp_path: Path, tiny_bundle: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "bundle").symlink_to(tiny_bundle)
    assert find_weights(str(tmp_path / "run")) == str(tmp_path / "run" / "bundle")
    assert isinstance(open_candidate(str(tmp_path / "run")), Rebuilding)


def test_an_unfinished_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").touch()
    with pytest.raises(WeightsError, match="holds no bundle, only a checkpoint"):
        open_candidate(str(tmp_path))


def test_weights_that_are_no_method_are_refused() -> None:
    import stillmotion.weights

    with pytest.raises(WeightsError, match="a method that is not installed"):
        open_candidate(str(stillmotion.weights.FACE))


def test_a_folder_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there are no clips"):
        open_candidate(str(tmp_path))


def test_the_verb(data: Path, tmp_path: Path, tiny_bundle: Path, capsys) -> None:
    words = ["evaluate", str(tiny_bundle), str(tiny_bundle), "--data", str(data), "-o", str(tmp_path / "out")]
    assert main([*words, "--detector", "none"]) == 1
    assert f"{tiny_bundle} is given twice" in capsys.readouterr().err
    other = tmp_path / "again"
    other.symlink_to(tiny_bundle)
    words[2] = str(other)
    assert main([*words, "--detector", "none", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["means"]) == 4  # both, copying, the truth
    assert main([*words, "--detector", "stilmotion"]) == 1
    assert "there is no detector 'stilmotion'" in capsys.readouterr().err
    (tmp_path / "file").touch()
    into_file = [str(tmp_path / "file") if word == str(tmp_path / "out") else word for word in words]
    assert main([*into_file, "--detector", "none"]) == 1
    assert "file is a file, or lies in one" in capsys.readouterr().err
    deep = [str(tmp_path / "new" / "deep") if word == str(tmp_path / "out") else word for word in words]
    assert main([*deep, "--detector", "none", "--videos", "1", "--json"]) == 0
    assert (tmp_path / "new" / "deep" / "evaluate.md").is_file()
    capsys.readouterr()
    write_strip(tmp_path / "misnamed" / "other.png", [disc(0), disc(1)])
    two = [*words[:2], str(tmp_path / "misnamed"), *words[3:-1], str(tmp_path / "two")]
    assert main([*two, "--detector", "none"]) == 1
    assert f"; the others' scores are in {tmp_path / 'two' / 'evaluate.md'}" in capsys.readouterr().err
    assert "misnamed, clip a: not scored" in (tmp_path / "two" / "evaluate.md").read_text()
    assert main([*words, "--lpips-heads", "x.pth"]) == 1
    assert "LPIPS needs two files" in capsys.readouterr().err

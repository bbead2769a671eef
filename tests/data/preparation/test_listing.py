"""Annotation files, published sets, splits and leaks, on made-up files."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stillmotion.core.errors import ConfigError, DataError
from stillmotion.data.preparation.annotations import Annotation, read_annotations, write_annotations
from stillmotion.data.preparation.boxes import Box
from stillmotion.data.preparation.entries import (
    Entry,
    assigned,
    find_leaks,
    list_annotated,
    list_folder,
    split,
    undecided,
    without_leaks,
)
from stillmotion.data.preparation.published import PUBLISHED, read_set, read_utterance

HEAD = "video_id,start,end,bbox,fps,width,height,partition,person_id"
ROW = "0_laIeN-Q44,3232,3353,494-69-885-461,25.0,1280,720,test,id10283"


def csv(path: Path, *rows: str, head: str = HEAD) -> Path:
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return path


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_a_row_as_published(tmp_path: Path) -> None:
    (one,), wrong = read_annotations(csv(tmp_path / "vox.csv", ROW))
    assert wrong == []
    box = Box(494, 69, 885, 461)
    assert one == Annotation("0_laIeN-Q44", 3232, 3353, box, Fraction(25), (720, 1280), "test", "id10283")
    assert one.identity == "id10283"


def test_a_row_fits_a_copy_of_another_size_and_rate() -> None:
    one = Annotation("v", 50, 100, Box(100, 50, 300, 250), Fraction(25), (720, 1280), "train")
    cut = one.cut_of(size=(360, 640), fps=Fraction(50))
    assert (cut.start, cut.stop, cut.box) == (100, 200, Box(50, 25, 150, 125))
    # Frame i belongs to it if i · 25 is 50 · 30 or more: 60, and less than 100 · 30: up to 119.
    assert (one.cut_of(size=(720, 1280), fps=Fraction(30)).start, one.cut_of(size=(1, 1), fps=Fraction(30)).stop) == (
        60,
        120,
    )
    assert one.identity == "v"


def test_wrong_rows_are_listed_never_skipped_silently(tmp_path: Path) -> None:
    bad = [
        "v,5,5,1-2-3-4,25,64,48,train,",
        "v,0,5,nothing,25,64,48,train,",
        "v,0,5,1-2-1-4,25,64,48,train,",
        "v,0,5,1-2-3-4,0,64,48,train,",
        "v,0,5,1-2-3-4,25,64,48,validation,",
        "v,0,5,1-2-3-4,25,64,48,../train,",
        ",0,5,1-2-3-4,25,64,48,train,",
        "v,0",
    ]
    rows, wrong = read_annotations(csv(tmp_path / "a.csv", ROW, *bad, ROW))
    assert len(rows) == 1
    assert [line.split(":")[0] for line in wrong] == [f"line {number}" for number in range(3, 12)]
    assert "frames 5 to 5 are none" in wrong[0]
    assert "partition 'validation' is neither train nor test nor empty" in wrong[4]
    assert "the same clip as on an earlier line" in wrong[-1]


def test_a_file_that_is_no_annotation_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="have no column bbox, partition"):
        read_annotations(csv(tmp_path / "a.csv", head="video_id,start,end,fps,width,height"))
    with pytest.raises(DataError, match="hold no clip"):
        read_annotations(csv(tmp_path / "b.csv"))
    with pytest.raises(DataError, match="cannot be read"):
        read_annotations(tmp_path / "none.csv")


def test_annotations_survive_writing(tmp_path: Path) -> None:
    box = Box(1, 2, 30, 40)
    both = [
        Annotation("a", 0, 9, box, Fraction(30000, 1001), (48, 64), "train", "x"),
        Annotation("b", 3, 5, box, Fraction(25), (48, 64), "test"),
    ]
    write_annotations(tmp_path / "a.csv", both)
    assert read_annotations(tmp_path / "a.csv") == (both, [])


def test_a_folder_of_videos(tmp_path: Path) -> None:
    touch(tmp_path, "ann#1.mp4", "deep/bob#1.mp4")
    entries = list_folder(tmp_path).entries
    assert [(e.name, e.identity, e.partition) for e in entries] == [
        ("ann#1", "ann", ""),
        ("deep+bob#1", "deep+bob", ""),
    ]
    by_folder = list_folder(tmp_path, identity="folder").entries
    assert [e.name for e in by_folder] == [f"{tmp_path.name}#ann#1", "deep#bob#1"]
    with pytest.raises(DataError, match="does not exist"):
        list_folder(tmp_path / "none")


def test_a_missing_video_is_an_entry_without_one(tmp_path: Path) -> None:
    folder = touch(tmp_path / "videos", "sub/here.mp4")
    rows, _ = read_annotations(csv(tmp_path / "a.csv", ROW, ROW.replace("0_laIeN-Q44", "here")))
    entries = {e.name: e.clip and e.clip.path for e in list_annotated(folder, rows).entries}
    assert entries == {"0_laIeN-Q44": None, "here": folder / "sub" / "here.mp4"}


def test_the_split_is_by_person_and_stays_when_videos_are_added() -> None:
    people = [f"id{i}" for i in range(20)]
    first = split(people, {}, share=0.2, seed=0)
    assert sum(part == "test" for part in first.values()) == 4
    more = split([*people, "id20", "id21"], first, share=0.2, seed=0)
    assert {name: more[name] for name in people} == first
    assert split(people, {}, share=0.2, seed=1) != first
    assert set(split(["a", "b"], {}, share=0.01, seed=0).values()) == {"train", "test"}
    assert set(split(["a", "b"], {}, share=0, seed=0).values()) == {"train"}
    assert split(["a"], {}, share=0.5, seed=0) == {"a": "train"}


def annotation(video: str, person: str, partition: str) -> Annotation:
    return Annotation(video, 0, 9, Box(0, 0, 9, 9), Fraction(25), (48, 64), partition, person)


def test_a_person_on_both_sides_is_a_leak() -> None:
    rows = [annotation("v", "ann", "train"), annotation("v", "bob", "test"), annotation("w", "ann", "test")]
    entries = [
        Entry("v", None, "ann", annotations=tuple(rows[:2])),
        Entry("w", None, "ann", annotations=tuple(rows[2:])),
    ]
    leaks = find_leaks(entries)
    assert (leaks.identities, leaks.videos) == (("ann",), ("v",))
    kept, dropped = without_leaks(entries, leaks)
    assert dropped == 1
    assert not find_leaks(kept)
    assert [row.identity for entry in kept for row in entry.annotations] == ["bob", "ann"]


def test_a_split_of_our_own_never_leaks() -> None:
    entries = [Entry(f"v{i}", None, f"p{i % 5}") for i in range(20)]
    done = assigned(entries, split(undecided(entries), {}, share=0.4, seed=3))
    assert not find_leaks(done)
    assert {entry.partition for entry in done} == {"train", "test"}


def test_voxceleb_by_its_file(tmp_path: Path) -> None:
    touch(tmp_path / "videos", "0_laIeN-Q44.mp4")
    path = csv(tmp_path / "vox-metadata.csv", ROW)
    (entry,) = read_set("voxceleb", tmp_path / "videos", path).entries
    assert entry.clip is not None
    assert entry.annotations[0].person == "id10283"
    with pytest.raises(ConfigError, match="voxceleb needs its annotations"):
        read_set("voxceleb", tmp_path / "videos")


def utterance(path: Path, *rows: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    head = ["Identity  : \tid10270", "Reference : \tvideo", "Offset    : \t12", "", "FRAME \tX \tY \tW \tH"]
    path.write_text("\n".join([*head, *rows]) + "\n", encoding="utf-8")
    return path


def test_voxceleb_by_its_text_files(tmp_path: Path) -> None:
    texts = tmp_path / "txt"
    utterance(texts / "id10270" / "video" / "00001.txt", "000010 \t90 \t30 \t120 \t120", "000011 \t92 \t30 \t120 \t120")
    utterance(texts / "id10001" / "other" / "00001.txt", "000000 0.25 0.5 0.25 0.25")
    utterance(texts / "id10001" / "other" / "00002.txt")
    touch(tmp_path / "videos", "video.mp4")
    listing = read_set("voxceleb", tmp_path / "videos", texts)
    entries = {entry.name: entry for entry in listing.entries}
    assert {name: e.partition for name, e in entries.items()} == {"id10001#other": "train", "id10270#video": "test"}
    assert entries["id10001#other"].clip is None
    assert len(listing.notes) == 1
    assert "no lines of FRAME X Y W H" in listing.notes[0]
    pixels, shares = entries["id10270#video"].guides[0], entries["id10001#other"].guides[0]
    assert (pixels.unit, shares.unit) == ("lines", "share")
    assert pixels.box_at(10 / 25, size=(720, 1280)) == Box(180, 60, 420, 300)
    assert pixels.box_at(12 / 25, size=(720, 1280)) is None
    assert shares.box_at(0, size=(100, 200)) == Box(50, 50, 100, 75)


def test_frames_out_of_order_are_no_utterance(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no VoxCeleb text file"):
        read_utterance(utterance(tmp_path / "a.txt", "3 1 1 2 2", "5 1 1 2 2"))


def test_nemo(tmp_path: Path) -> None:
    touch(tmp_path, "001_deliberate_smile_2.mp4", "001_spontaneous_smile_1.mp4", "notes.mp4")
    listing = read_set("nemo", tmp_path)
    assert [(e.name, e.identity) for e in listing.entries] == [("001#deliberate2", "001"), ("001#spontaneous1", "001")]
    assert listing.notes == ["notes: not named SUBJECT_deliberate_smile_N or SUBJECT_spontaneous_smile_N"]
    (tmp_path / "sub").mkdir()
    with pytest.raises(DataError, match="no videos"):
        read_set("nemo", tmp_path / "sub")


def test_bair_and_mgif_are_clips_on_their_own(tmp_path: Path) -> None:
    folder = tmp_path / "bair" / "train" / "00001"
    folder.mkdir(parents=True)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "0.png")
    touch(tmp_path / "bair", "test/00002.mp4")
    entries = read_set("bair", tmp_path / "bair").entries
    assert [(e.identity, e.partition) for e in entries] == [("00001", "train"), ("00002", "test")]
    gifs = read_set("mgif", touch(tmp_path / "mgif", "train/a#1.gif", "train/a#2.gif", "test/b.gif")).entries
    assert [(e.identity, e.partition) for e in gifs] == [("a-1", "train"), ("a-2", "train"), ("b", "test")]


def test_fashion_by_its_lists_of_addresses(tmp_path: Path) -> None:
    touch(tmp_path, "A1.mp4")
    (tmp_path / "fashion_train.txt").write_text("https://example.org/x/A1.mp4\nhttps://example.org/x/B2.mp4?v=1\n")
    listing = read_set("fashion", tmp_path)
    assert [(e.name, e.partition, e.clip is None) for e in listing.entries] == [
        ("A1", "train", False),
        ("B2", "train", True),
    ]
    assert listing.notes == ["fashion_test.txt is not there: the test side is empty"]


def test_fashion_twice_in_a_list_is_said_and_on_both_sides_a_leak(tmp_path: Path) -> None:
    touch(tmp_path, "A1.mp4", "B2.mp4")
    (tmp_path / "fashion_train.txt").write_text("x/A1.mp4\nx/B2.mp4\nx/A1.mp4\n")
    (tmp_path / "fashion_test.txt").write_text("x/A1.mp4\n")
    listing = read_set("fashion", tmp_path)
    assert listing.notes == ["fashion_train.txt: A1 stands there twice"]
    assert [(e.name, e.partition) for e in listing.entries] == [("A1", "train"), ("B2", "train"), ("A1#test", "test")]
    assert find_leaks(listing.entries).identities == ("A1",)


def test_taichi_and_the_numbers_that_were_published(tmp_path: Path) -> None:
    row = "-1uZ1QDUuW0,1,129,100-50-400-350,30.0,1280,720,train"
    listing = read_set(
        "taichi", touch(tmp_path / "v", "-1uZ1QDUuW0.mp4"), csv(tmp_path / "t.csv", row, head=HEAD.rpartition(",")[0])
    )
    assert listing.entries[0].annotations[0].identity == "-1uZ1QDUuW0"
    assert PUBLISHED["taichi"] == {"train": 3049, "test": 285}
    assert PUBLISHED["voxceleb"] == {"train": 19550, "test": 525}


def test_an_unknown_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no data set 'vox'") as caught:
        read_set("vox", tmp_path)
    assert "voxceleb" in caught.value.hint

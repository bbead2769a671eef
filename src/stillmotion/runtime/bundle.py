"""A weights bundle: one folder with a card, the tensors, and the exported stages.

    grid-compact/
      model.json            the card: what it is, how to use it, checksums
      network.safetensors   the tensors, `generator.` and `kp_detector.` before their names
      encode.onnx read.onnx render.onnx

A bundle may hold the tensors alone (it then runs in torch) or the stages alone (it then runs
without torch). What the card does not list is not read.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_type_hints

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from stillmotion.core.errors import OutputError, WeightsError, did_you_mean
from stillmotion.core.flow import Convention

FORMAT: Literal[1] = 1
"""Version of the layout that this module writes and reads."""
CARD = "model.json"
TENSORS = "network.safetensors"
Keep = Literal["all", "stages", "tensors"]
Config = TypeVar("Config")


class CropContract(BaseModel):
    """How a picture must be cropped for these weights.

    Attributes:
        kind: `face` (a square around the face box) or `whole`.
        margin: For `face`, side of the crop divided by the side of the face box.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Literal["face", "whole"] = "whole"
    margin: float = Field(default=1.0, gt=0, le=10)


class Card(BaseModel):
    """What `model.json` says.

    Attributes:
        format: Version of the bundle layout.
        method: Name in the table of methods.
        name: Name of the weights.
        config: Every field of the method's config.
        convention: Grid convention the weights were trained with.
        crop: Crop contract.
        reference: What relative motion is relative to: a frame of the driving clip, or a pose that
            the network itself knows.
        data: What the weights were trained on.
        licence: Terms for the weights.
        credit: Whom to name.
        recipe: How they were made; free form.
        fingerprint: Of the tensors, also where only the exported stages are kept; motion files
            carry it.
        checksums: SHA-256 of every other file, by name.
        marks: What keypoints were taught to mark, with their index.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    format: Literal[1] = FORMAT
    method: str
    name: str
    config: dict[str, Any]
    convention: Convention
    crop: CropContract = CropContract()
    reference: Literal["driving-frame", "canonical"] = "driving-frame"
    data: str = ""
    licence: str = ""
    credit: str = ""
    recipe: dict[str, Any] = {}
    fingerprint: str = ""
    checksums: dict[str, str] = {}
    marks: dict[str, int] = {}


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk whose card and files have been checked.

    Attributes:
        folder: Where it is.
        card: What it says about itself.
    """

    folder: Path
    card: Card

    @classmethod
    def open(cls, path: str | Path, *, method: str | None = None) -> Bundle:
        """Check and open a bundle folder.

        Args:
            path: The folder.
            method: The method that the weights must be for; None takes any.

        Raises:
            WeightsError: No such folder, no or a broken card, another format version, weights for
                another method, a missing or altered file, NaN or infinity among the tensors.
        """
        folder = Path(path)
        _check_folder(folder)
        card = _read_card(folder / CARD)
        if method is not None and card.method != method:
            raise WeightsError(
                f"{folder.name} holds weights for {card.method}, not for {method}",
                hint=f"choose a bundle for {method}, or load this one as {card.method}",
                method=card.method,
            )
        _check_files(folder, card)
        bundle = cls(folder, card)
        if bundle.has_tensors:
            bundle._check_finite()
        return bundle

    @property
    def has_tensors(self) -> bool:
        """Whether the tensors, which the torch engine needs, are here."""
        return TENSORS in self.card.checksums

    @property
    def stages(self) -> dict[str, Path]:
        """The exported graphs by stage name; empty when there are none."""
        names = sorted(n for n in self.card.checksums if n.endswith(".onnx"))
        return {name.removesuffix(".onnx"): self.folder / name for name in names}

    def config(self, kind: type[Config]) -> Config:
        """The card's config as the method's own dataclass.

        Raises:
            WeightsError: A field is unknown, missing or of the wrong type.
        """
        return parse_config(kind, self.card.config, where=str(self.folder / CARD))

    def tensors(self, prefix: str = "") -> dict[str, np.ndarray]:
        """Tensors whose name starts with `prefix`, without it; half floats come back as float32.

        Raises:
            WeightsError: The bundle has no tensors.
        """
        if not self.has_tensors:
            raise WeightsError(
                f"{self.folder.name} holds exported stages but no tensors ({TENSORS}), which torch needs",
                hint="run it with the openvino engine, or get the full bundle",
            )
        return read_tensors(self.folder, prefix)

    def _check_finite(self) -> None:
        with _opened(self.folder) as file:
            bad = [n for n in file.keys() if not np.isfinite(file.get_tensor(n)).all()]  # noqa: SIM118
        if bad:
            shown = ", ".join(bad[:3]) + (f" and {len(bad) - 3} more" if len(bad) > 3 else "")
            raise WeightsError(
                f"{self.folder.name} holds NaN or infinity in {shown}",
                hint="the training that made it diverged, or the file is damaged; use other weights",
                names=tuple(bad),
            )


def _opened(folder: Path) -> Any:
    try:
        return safe_open(folder / TENSORS, framework="numpy")
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{folder.name}/{TENSORS} cannot be read: {error}", hint="get the bundle again") from error


def read_tensors(folder: Path, prefix: str = "") -> dict[str, np.ndarray]:
    """Tensors of a bundle folder as `Bundle.tensors` gives them, without its checks."""
    with _opened(folder) as file:
        names = [n for n in file.keys() if n.startswith(prefix)]  # noqa: SIM118 (not a dict)
        found = {name.removeprefix(prefix): file.get_tensor(name) for name in names}
    return {n: a.astype(np.float32) if a.dtype == np.float16 else a for n, a in found.items()}


def fingerprint(tensors: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over names, shapes and values, whatever file they are in."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        array = np.asarray(tensors[name], order="C")
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _check_folder(folder: Path) -> None:
    if folder.is_dir():
        if not (folder / CARD).is_file():
            raise WeightsError(
                f"{folder} is not a weights bundle: it has no {CARD}",
                hint="give the folder that holds model.json; published .pth.tar files need `stillmotion convert`",
            )
        return
    if folder.exists():
        raise WeightsError(
            f"{folder} is a file, not a bundle folder",
            hint="convert a published checkpoint first: stillmotion convert CHECKPOINT --config YAML -o BUNDLE",
        )
    beside = [p.name for p in folder.parent.iterdir() if (p / CARD).is_file()] if folder.parent.is_dir() else []
    raise WeightsError(f"there is no weights bundle at {folder}", hint=did_you_mean(folder.name, beside))


def _read_card(path: Path) -> Card:
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise WeightsError(f"{path} cannot be read as JSON: {error}", hint="get the bundle again") from error
    version = raw.get("format") if isinstance(raw, dict) else None
    if version != FORMAT:
        raise WeightsError(
            f"{path} has bundle format {version!r}; this version reads format {FORMAT}",
            hint="update stillmotion, or convert the original checkpoint again",
            seen=version,
        )
    try:
        card = Card.model_validate(raw)
    except ValidationError as error:
        raise WeightsError(
            f"{path} is not a valid card: {first_problem(error)}", hint="get the bundle again"
        ) from error
    for name in card.checksums:
        if Path(name).name != name:
            raise WeightsError(f"{path} lists a file outside its folder: {name!r}", hint="do not use this bundle")
    return card


def first_problem(error: ValidationError) -> str:
    """The first complaint of pydantic in one line, with its place and how many more there are."""
    problems = error.errors(include_url=False)
    place = ".".join(str(part) for part in problems[0]["loc"])
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{place}: {problems[0]['msg']}{more}"


def sha256(path: Path) -> str:
    """Checksum of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_files(folder: Path, card: Card) -> None:
    missing = [name for name in card.checksums if not (folder / name).is_file()]
    if missing:
        raise WeightsError(
            f"{folder.name} is incomplete: {', '.join(missing)} missing", hint="get the bundle again", missing=missing
        )
    if not card.checksums:
        raise WeightsError(f"{folder.name} lists neither tensors nor stages", hint="get the bundle again")
    for name, expected in card.checksums.items():
        seen = sha256(folder / name)
        if seen != expected:
            raise WeightsError(
                f"{folder.name}/{name} is not the file its card describes (sha256 {seen[:12]}…, not {expected[:12]}…)",
                hint="it is damaged or was altered; get the bundle again",
                name=name,
            )


def _unknown(kind: Any, raw: Any, place: str = "") -> list[tuple[str, list[str]]]:
    """Keys of nested mappings that the nested dataclass does not have, each with the keys it has."""
    if not is_dataclass(kind) or not isinstance(raw, Mapping):
        return []
    known = {f.name: f for f in fields(kind)}
    found = [(f"{place}{key}", list(known)) for key in raw if key not in known]
    hints = get_type_hints(kind)
    for key in raw:
        if key in known:
            found += _unknown(hints[key], raw[key], f"{place}{key}.")
    return found


def parse_config(kind: type[Config], raw: Mapping[str, Any], *, where: str) -> Config:
    """Check a plain mapping against a (nested) dataclass and build it.

    Args:
        kind: The dataclass.
        raw: As read from JSON or YAML.
        where: What to call the origin in messages.

    Raises:
        WeightsError: An unknown key, or a value of the wrong type.
    """
    unknown = _unknown(kind, raw)
    if unknown:
        key, known = unknown[0]
        raise WeightsError(
            f"{where}: unknown config field {key!r}",
            hint=did_you_mean(key.rpartition(".")[2], known) or "update stillmotion",
        )
    try:
        return TypeAdapter(kind).validate_python(raw)
    except ValidationError as error:
        raise WeightsError(f"{where}: {first_problem(error)}", hint="correct the config") from error


def write_bundle(
    folder: str | Path,
    card: Card,
    *,
    tensors: Mapping[str, np.ndarray],
    export: Callable[[Path], None] | None = None,
    keep: Keep = "all",
    half: bool = False,
) -> Path:
    """Write a bundle beside its place and rename it, so that a crash leaves nothing half written.

    Args:
        folder: The bundle; an older bundle of that name is replaced, any other folder refused.
        card: Its card; checksums and fingerprint are filled in here.
        tensors: What goes into `network.safetensors`.
        export: Called with the folder being written, which has the tensors by then, to put the
            `*.onnx` stages there.
        keep: `stages` leaves the tensors out of the finished folder.
        half: Store float32 matrices and kernels as float16 (computing stays float32).

    Raises:
        OutputError: The place is taken by something else, or cannot be written.
    """
    target = Path(folder)
    if target.exists() and not (target / CARD).is_file() and not (target.is_dir() and not any(target.iterdir())):
        raise OutputError(f"{target} exists and is not a weights bundle", hint="choose another output name")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent))
        try:
            save_file({n: _stored(a, half) for n, a in tensors.items()}, work / TENSORS)
            (work / TENSORS).chmod(0o644)  # safetensors writes for the owner alone
            facts: dict[str, object] = {"fingerprint": fingerprint(read_tensors(work))}
            if export is not None:
                export(work)
            if keep == "stages":
                (work / TENSORS).unlink()
            facts["checksums"] = {p.name: sha256(p) for p in sorted(work.iterdir())}
            text = card.model_copy(update=facts).model_dump_json(indent=2)
            (work / CARD).write_text(text + "\n", encoding="utf-8")
            work.chmod(0o755)
            _swap(work, target)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"cannot write {target}: {error.strerror or error}", hint="check space and rights") from error
    return target


def _stored(array: np.ndarray, half: bool) -> np.ndarray:
    out = np.asarray(array, order="C")
    # Vectors stay: they are small, and running variances need their range.
    return out.astype(np.float16) if half and out.dtype == np.float32 and out.ndim > 1 else out


def _swap(work: Path, target: Path) -> None:
    """Put the finished folder in place; an older one stands aside until then."""
    if not target.exists():
        work.rename(target)
        return
    aside = target.with_name(f".{target.name}.{os.getpid()}.old")
    target.rename(aside)
    try:
        work.rename(target)
    except OSError:
        aside.rename(target)
        raise
    shutil.rmtree(aside, ignore_errors=True)

"""Reading both marks of a file back: the plain one and the signed one."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from stillmotion.core.errors import ImageError
from stillmotion.provenance.certificate import known_roots
from stillmotion.provenance.sealing import ASSERTION, SEALABLE, is_installed
from stillmotion.video.mark import Mark, read_mark

State = Literal["valid", "tampered", "marked", "unmarked", "unchecked"]


@dataclass(frozen=True)
class Verdict:
    """What a file says of itself.

    Attributes:
        state: `valid`: signed and unchanged since. `tampered`: changed since it was signed, or its
            signature was taken off. `marked`: says that it was generated, in metadata that nothing
            protects. `unmarked`: says nothing. `unchecked`: there may be a signature, and the extra
            that could check it is not installed.
        reason: One line.
        facts: Software, method, weights and signer, as far as the file names them.
    """

    state: State
    reason: str
    facts: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        """The verdict as one JSON object."""
        return json.dumps(asdict(self), indent=2)


def verify(path: str | Path) -> Verdict:
    """Check what a video or picture says of its origin. Nothing is fetched from anywhere.

    Args:
        path: Any file.

    Raises:
        ImageError: There is no such file.
    """
    path = Path(path)
    if path.is_dir():
        raise ImageError(f"{path} is a folder", hint="every picture in it has marks of its own: name one", path=path)
    if not path.is_file():
        raise ImageError(f"there is no file {path}", hint="check the path", path=path)
    mark = read_mark(path)
    if not is_installed():
        return _without_c2pa(path, mark)
    store, state = _read_manifest(path)
    if store is not None:
        return _of_manifest(store, state)
    if mark is None:
        return Verdict("unmarked", "no mark and no manifest: this says nothing about how the file was made")
    if mark.facts.get("sealed") == "c2pa":
        return Verdict("tampered", "it was signed once, and the signature is gone: it was changed", _facts(mark))
    return _plain(mark)


def _facts(mark: Mark) -> dict[str, str]:
    known = {key: value for key, value in mark.facts.items() if key in ("method", "weights")}
    return {"software": mark.software, **known}


def _plain(mark: Mark) -> Verdict:
    return Verdict("marked", "says that it was generated, in plain metadata that nothing protects", _facts(mark))


def _without_c2pa(path: Path, mark: Mark | None) -> Verdict:
    """As much as can be said without the library that checks signatures."""
    could_be_signed = (mark.facts.get("sealed") == "c2pa") if mark else path.suffix.lower() in SEALABLE
    if could_be_signed:
        reason = "signatures cannot be checked here: pip install 'stillmotion[provenance]'"
        return Verdict("unchecked", reason, _facts(mark) if mark else {})
    return _plain(mark) if mark else Verdict("unmarked", "no plain mark")


def _read_manifest(path: Path) -> tuple[dict[str, Any] | None, str]:
    """The manifest store and its validation state; None where the file has none."""
    import c2pa

    settings: dict[str, Any] = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}
    roots = known_roots()
    if roots:
        settings["trust"] = {"user_anchors": roots}
    try:
        with c2pa.Reader(path, context=c2pa.Context.from_dict(settings)) as reader:
            return json.loads(reader.json()), str(reader.get_validation_state())
    except (c2pa.C2paError.ManifestNotFound, c2pa.C2paError.NotSupported):
        return None, ""
    except c2pa.C2paError as error:
        if "manifest" in str(error).lower() or "jumbf" in str(error).lower():
            return {}, "Invalid"  # there is one, and it is broken
        return None, ""


def _of_manifest(store: dict[str, Any], state: str) -> Verdict:
    manifest = store.get("manifests", {}).get(store.get("active_manifest", ""), {})
    facts = _claimed(manifest)
    if state not in ("Valid", "Trusted"):
        broken = [failure.get("code", "") for failure in _failures(store)]
        why = f" ({', '.join(dict.fromkeys(broken))})" if broken else ""
        return Verdict("tampered", f"the file was changed after it was signed{why}", facts)
    who = "a certificate known here" if state == "Trusted" else "a certificate that nobody here vouches for"
    return Verdict("valid", f"unchanged since it was signed, by {who}", facts)


def _failures(store: dict[str, Any]) -> list[dict[str, Any]]:
    failures = store.get("validation_results", {}).get("activeManifest", {}).get("failure", [])
    return [failure for failure in failures if failure.get("code") != "signingCredential.untrusted"]


def _claimed(manifest: dict[str, Any]) -> dict[str, str]:
    """What the signed claim names."""
    facts: dict[str, str] = {}
    for generator in manifest.get("claim_generator_info", [])[:1]:
        facts["software"] = f"{generator.get('name', '')} {generator.get('version', '')}".strip()
    for assertion in manifest.get("assertions", []):
        data = assertion.get("data", {})
        if assertion.get("label") == ASSERTION:
            facts |= {key: str(data[key]) for key in ("method", "weights") if key in data}
        for action in data.get("actions", []) if isinstance(data, dict) else []:
            if "digitalSourceType" in action:
                facts["source"] = str(action["digitalSourceType"]).rpartition("/")[2]
    signature = manifest.get("signature_info", {})
    if signature:
        facts["signed by"] = f"{signature.get('common_name', '?')}, {signature.get('issuer', '?')}"
    return facts

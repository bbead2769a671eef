"""Signing a finished file with a C2PA manifest that says it was generated, and by what."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from stillmotion.core.errors import ConfigError, MissingExtraError, OutputError
from stillmotion.core.method import MethodSpec
from stillmotion.provenance.certificate import find_identity
from stillmotion.video.mark import SOURCE_TYPE

Sign: TypeAlias = Literal["auto", "always", "never"]
"""Whether to sign: `auto` does where the extra is installed and the container can hold a manifest."""

SEALABLE = (".mp4", ".m4v", ".mov", ".gif", ".png", ".jpg", ".jpeg", ".webp")
"""Kinds of files that can hold a manifest."""
ASSERTION = "org.stillmotion.generation"
VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"


def sealer(path: str | Path, *, method: str, weights: str, sign: Sign = "auto") -> Callable[[Path], None] | None:
    """What signs a file of this name in place, or None where it is not to be signed.

    Args:
        path: Name that the file will have; its suffix decides.
        method: Name of the method, which the manifest states.
        weights: Name of the weights, which it states as well.
        sign: Whether to.

    Raises:
        ConfigError: Another word, or a certificate that cannot be used.
        MissingExtraError: `always`, and c2pa-python is not installed.
        OutputError: `always`, and the kind of file holds no manifest.
    """
    if sign not in get_args(Sign):
        raise ConfigError(f"unknown choice {sign!r} for signing", hint=f"use {', '.join(get_args(Sign))}", seen=sign)
    installed, suffix = is_installed(), Path(path).suffix.lower()
    if sign == "always" and not installed:
        raise MissingExtraError("signing needs c2pa-python", hint="pip install 'stillmotion[provenance]'")
    if sign == "always" and suffix not in SEALABLE:
        raise OutputError(
            f"{path} cannot hold a signed manifest", hint=f"write one of {', '.join(SEALABLE)}", path=Path(path)
        )
    if sign == "never" or not installed or suffix not in SEALABLE:
        return None
    find_identity()  # a certificate that is missing is said before anything slow is done
    return lambda file: seal(file, method=method, weights=weights)


def marks(path: str | Path, spec: MethodSpec, *, sign: Sign = "auto") -> dict[str, Any]:
    """The arguments `facts` and `seal` of a `VideoWriter` for what a method makes.

    Args:
        path: Name that the file will have.
        spec: Of the method.
        sign: See `sealer`, and there `Raises`.
    """
    seal = sealer(path, method=spec.name, weights=spec.weights, sign=sign)
    facts = {"method": spec.name, "weights": spec.weights, **({"sealed": "c2pa"} if seal else {})}
    return {"facts": facts, "seal": seal}


def is_installed() -> bool:
    """Whether the extra `provenance` is here."""
    return find_spec("c2pa") is not None and find_spec("cryptography") is not None


def seal(path: Path, *, method: str, weights: str) -> None:
    """Sign a file in place: written beside it and renamed.

    Args:
        path: A finished file of a kind in `SEALABLE`.
        method: See `sealer`.
        weights: See `sealer`.

    Raises:
        OutputError: The file cannot be signed.
        OSError: The disk is full or will not be written to; whoever knows the final name explains it.
        ConfigError: The certificate cannot be used.
    """
    import c2pa

    identity = find_identity()
    beside = path.with_name(f"{path.stem}.signed{path.suffix}")
    try:
        info = c2pa.C2paSignerInfo(b"es256", identity.chain.encode(), identity.key.encode(), None)
        # No thumbnail: the manifest would grow with the picture, and a GIF would take seconds.
        context = c2pa.Context.from_dict({"builder": {"thumbnail": {"enabled": False}}})
        with c2pa.Signer.from_info(info) as signer, c2pa.Builder(_manifest(method, weights), context) as builder:
            builder.sign_file(path, beside, signer)
        beside.replace(path)
    except c2pa.C2paError as error:
        if isinstance(error.__context__, OSError):  # a full disk is no matter of certificates
            raise error.__context__ from None
        raise OutputError(
            f"{path} could not be signed: {error}",
            hint="check the certificate and its key, or leave signing out: --sign never",
            path=path,
        ) from error
    finally:
        beside.unlink(missing_ok=True)


def _manifest(method: str, weights: str) -> dict[str, Any]:
    """A claim with one action, `c2pa.created`, by a trained algorithm, and what ran."""
    ours = version("stillmotion")
    created = {
        "action": "c2pa.created",
        "digitalSourceType": VOCABULARY + SOURCE_TYPE,
        "softwareAgent": {"name": "stillmotion", "version": ours},
        "description": f"a still picture animated by {method} with the weights {weights}",
    }
    return {
        "claim_generator_info": [{"name": "stillmotion", "version": ours}],
        "title": "generated by stillmotion",
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": [created]}},
            {"label": ASSERTION, "data": {"method": method, "weights": weights}},
        ],
    }

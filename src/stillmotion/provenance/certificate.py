"""Who signs: the user's own certificate, or one that this machine makes for itself.

A certificate of one's own is named by two environment variables, `STILLMOTION_CERTIFICATE` (PEM, the
chain from the signer to its root) and `STILLMOTION_KEY` (PEM, a P-256 key). Without them a local root
and signer are made once and kept in the folder `home()`. A local signature shows that a file was not
changed since this machine signed it; it does not prove to strangers who that was.
"""

from __future__ import annotations

import datetime
import os
from dataclasses import dataclass
from pathlib import Path

from stillmotion.core.errors import ConfigError
from stillmotion.video.target import replacing

CERTIFICATE_VARIABLE, KEY_VARIABLE = "STILLMOTION_CERTIFICATE", "STILLMOTION_KEY"
HOME_VARIABLE = "STILLMOTION_HOME"
_YEARS = 10


@dataclass(frozen=True)
class Identity:
    """A signer.

    Attributes:
        chain: PEM certificates, the signer's first.
        key: PEM private key of the signer, P-256.
        is_local: Made by this machine for itself.
    """

    chain: str
    key: str
    is_local: bool


def home() -> Path:
    """The user's folder for what stillmotion remembers: `STILLMOTION_HOME`, or `~/.stillmotion`."""
    named = os.environ.get(HOME_VARIABLE)
    return Path(named) if named else Path.home() / ".stillmotion"


def find_identity() -> Identity:
    """The signer to use; the local one is made where there is none yet.

    Raises:
        ConfigError: Only one of the two variables is set, or a file is missing.
        OutputError: The local one cannot be kept.
    """
    certificate, key = os.environ.get(CERTIFICATE_VARIABLE), os.environ.get(KEY_VARIABLE)
    if certificate or key:
        if not (certificate and key):
            raise ConfigError(
                f"{CERTIFICATE_VARIABLE} and {KEY_VARIABLE} belong together, and only one is set",
                hint="set both, or neither to sign with this machine's own certificate",
            )
        return Identity(_read(certificate), _read(key), is_local=False)
    chain, secret = home() / "certificate.pem", home() / "key.pem"
    if not (chain.is_file() and secret.is_file()):
        _keep_new(chain, secret)
    return Identity(_read(chain), _read(secret), is_local=True)


def known_roots() -> str:
    """PEM roots whose signatures count as ours: the local one's and the user's, where they are."""
    files = [os.environ.get(CERTIFICATE_VARIABLE), home() / "certificate.pem"]
    roots = [Path(file).read_text(encoding="ascii") for file in files if file and Path(file).is_file()]
    return "\n".join(roots)


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} cannot be read as a PEM file", hint=f"check {CERTIFICATE_VARIABLE} and {KEY_VARIABLE}"
        ) from error


def _keep_new(chain: Path, secret: Path) -> None:
    """Make a local root and signer; the root's key is thrown away, so that it signs nothing else."""
    chain.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    certificates, key = make_chain()
    with replacing(secret) as partial:
        partial.touch(mode=0o600)
        partial.write_bytes(key)
    with replacing(chain) as partial:
        partial.write_bytes(certificates)


def make_chain() -> tuple[bytes, bytes]:
    """PEM of a fresh signer with its root, and PEM of the signer's private key.

    Source:
        The certificate profile of the C2PA specification 2.1, section 14.5.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = _certificate("stillmotion local root", key=root_key, signer="stillmotion local root", signing_key=root_key)
    leaf = _certificate("stillmotion on this machine", key=key, signer="stillmotion local root", signing_key=root_key)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return leaf + root, secret


def _certificate(name: str, *, key: object, signer: str, signing_key: object) -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert isinstance(signing_key, ec.EllipticCurvePrivateKey)

    def subject(common: str) -> x509.Name:
        parts = {NameOID.ORGANIZATION_NAME: "stillmotion (local, unverified)", NameOID.COMMON_NAME: common}
        return x509.Name([x509.NameAttribute(oid, text) for oid, text in parts.items()])

    is_root = key is signing_key
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only"), False
    )
    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
    builder = (
        x509.CertificateBuilder(subject_name=subject(name), issuer_name=subject(signer), public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=365 * _YEARS))
        .add_extension(x509.BasicConstraints(ca=is_root, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True, key_cert_sign=is_root, crl_sign=is_root, decipher_only=False, **usage
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key()), critical=False)
    )
    if not is_root:
        usages = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
        builder = builder.add_extension(usages, critical=False)
    return builder.sign(signing_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

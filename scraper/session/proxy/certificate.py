"""A certificate authority for one run of the proxy: new each time, good for a day, named so that a person finds it again."""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from scraper.core.disk import disk_errors

LIFE: Final = timedelta(days=1)
BEFORE: Final = timedelta(hours=2)  # a phone's clock may be slow
BITS: Final = 2048
FILE_OF_MITMPROXY: Final = "mitmproxy-ca.pem"  # its name in mitmproxy's ``confdir``: the key, then the certificate


@dataclass(frozen=True, slots=True)
class Authority:
    """The authority of this run.

    Attributes:
        name: what the system's list of authorities shows.
        folder: mitmproxy's ``confdir``; readable by its owner alone.
        pem: the certificate, as PEM.
        der: the same, as DER (what iPhones and Windows open).
        key_digest: SHA-256 of its SubjectPublicKeyInfo in Base64, for Chromium's ``--ignore-certificate-errors-spki-list``.
    """

    name: str
    folder: Path
    pem: bytes
    der: bytes
    key_digest: str


def make(folder: Path) -> Authority:
    """Make an authority, its private key in a file in ``folder`` alone.

    Raises:
        DiskFull, NotWritable: the disk refuses.
    """
    now = datetime.now(UTC)
    key = rsa.generate_private_key(public_exponent=65537, key_size=BITS)
    label = f"cloudfilm {now:%Y-%m-%d} {secrets.token_hex(2)} (delete after use)"
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, label)])
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BEFORE)
        .not_valid_after(now + LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    with disk_errors(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = folder / FILE_OF_MITMPROXY
        file.touch(mode=0o600)
        file.write_bytes(private + pem)
    digest = base64.b64encode(hashlib.sha256(public).digest()).decode()
    return Authority(label, folder, pem, certificate.public_bytes(serialization.Encoding.DER), digest)

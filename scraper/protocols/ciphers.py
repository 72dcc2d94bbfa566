"""AES as web pages use it to hide what their calls carry: text in, text out.

Source:
    FIPS 197 (AES), NIST SP 800-38A (CBC) and 800-38D (GCM), RFC 5652 6.3 (PKCS#7 padding).
"""

from __future__ import annotations

import base64
import binascii

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

BLOCK_BITS = 128
NONCE = 12  # bytes that stand before a GCM text
TAG = 16  # bytes that end it


class WrongKey(ValueError):
    """What came is no text under this key: another key, another cipher, or damage."""


def cbc_sealed(text: str, key: bytes, iv: bytes) -> bytes:
    """A text (as UTF-8, padded by PKCS#7) under AES-CBC; the key's length (16, 24, 32 bytes) says which AES."""
    padder = padding.PKCS7(BLOCK_BITS).padder()
    cipher = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    return cipher.update(padder.update(text.encode()) + padder.finalize()) + cipher.finalize()


def cbc_opened(sealed: bytes, key: bytes, iv: bytes) -> str:
    """The text that ``cbc_sealed`` hid.

    Raises:
        WrongKey: wrong length, padding or text.
    """
    cipher = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
    unpadder = padding.PKCS7(BLOCK_BITS).unpadder()
    try:
        padded = cipher.update(sealed) + cipher.finalize()
        return (unpadder.update(padded) + unpadder.finalize()).decode()
    except ValueError as err:
        raise WrongKey from err


def gcm_opened(sealed: bytes, key: bytes) -> str:
    """The text under AES-GCM without additional data, given as nonce, ciphertext, tag.

    Raises:
        WrongKey: too short, the tag does not fit, or what it hides is no text.
    """
    if len(sealed) < NONCE + TAG:
        raise WrongKey
    try:
        return AESGCM(key).decrypt(sealed[:NONCE], sealed[NONCE:], None).decode()
    except (InvalidTag, ValueError) as err:
        raise WrongKey from err


def from_base64(text: str) -> bytes:
    """Bytes of Base64 as pages write it.

    Raises:
        WrongKey: it is none.
    """
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as err:
        raise WrongKey from err


def from_hex(text: str) -> bytes:
    """Bytes of hexadecimal digits.

    Raises:
        WrongKey: they are none.
    """
    try:
        return bytes.fromhex(text)
    except ValueError as err:
        raise WrongKey from err

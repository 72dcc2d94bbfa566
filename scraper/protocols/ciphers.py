"""AES as web pages use it to hide the content of their calls: text in, text out.

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
    """The plaintext is invalid under this key: wrong key, wrong cipher, or damage."""


def cbc_sealed(text: str, key: bytes, iv: bytes) -> bytes:
    """Encrypt a text (UTF-8, padded by PKCS#7) with AES-CBC; the key's length (16, 24, 32 bytes) selects the AES."""
    padder = padding.PKCS7(BLOCK_BITS).padder()
    cipher = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    return cipher.update(padder.update(text.encode()) + padder.finalize()) + cipher.finalize()


def cbc_opened(sealed: bytes, key: bytes, iv: bytes) -> str:
    """Decrypt a text of ``cbc_sealed``.

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
    """Decrypt a text with AES-GCM without additional data, given as nonce, ciphertext, tag.

    Raises:
        WrongKey: too short, a wrong tag, or the plaintext is no text.
    """
    if len(sealed) < NONCE + TAG:
        raise WrongKey
    try:
        return AESGCM(key).decrypt(sealed[:NONCE], sealed[NONCE:], None).decode()
    except (InvalidTag, ValueError) as err:
        raise WrongKey from err


def from_base64(text: str) -> bytes:
    """Decode Base64 as pages write it.

    Raises:
        WrongKey: the text is not valid Base64.
    """
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as err:
        raise WrongKey from err


def from_hex(text: str) -> bytes:
    """Decode hexadecimal digits.

    Raises:
        WrongKey: the text is not hexadecimal.
    """
    try:
        return bytes.fromhex(text)
    except ValueError as err:
        raise WrongKey from err

"""AES and Triple DES as web pages use them to hide what their calls carry.

Source:
    FIPS 197 (AES), NIST SP 800-38A (CBC, CTR), 800-38D (GCM) and 800-67 (Triple DES), RFC 5652 6.3 (PKCS#7 padding).
"""

from __future__ import annotations

import base64
import binascii

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
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


def ctr_opened(sealed: bytes, key: bytes, counter: bytes) -> bytes:
    """The bytes under AES-CTR; another key gives other bytes, and no error."""
    return Cipher(algorithms.AES(key), modes.CTR(counter)).decryptor().update(sealed)


def triple_des_sealed(text: str, key: bytes, iv: bytes) -> bytes:
    """A text (as UTF-8, padded by PKCS#7) under Triple DES in CBC; a key of 8 bytes, three times, makes it plain DES."""
    padder = padding.PKCS7(TripleDES.block_size).padder()
    cipher = Cipher(TripleDES(key), modes.CBC(iv)).encryptor()
    return cipher.update(padder.update(text.encode()) + padder.finalize()) + cipher.finalize()


def triple_des_opened(sealed: bytes, key: bytes, iv: bytes) -> bytes:
    """The bytes that ``triple_des_sealed`` hid.

    Raises:
        WrongKey: wrong length or padding.
    """
    cipher, unpadder = Cipher(TripleDES(key), modes.CBC(iv)).decryptor(), padding.PKCS7(TripleDES.block_size).unpadder()
    try:
        return unpadder.update(cipher.update(sealed) + cipher.finalize()) + unpadder.finalize()
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
    """Bytes of Base64 as pages write it: with blanks, without padding, or in the alphabet for addresses.

    Raises:
        WrongKey: the text is not valid Base64.
    """
    packed = "".join(text.split()).replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True)
    except (binascii.Error, ValueError) as err:
        raise WrongKey from err


def from_hex(text: str) -> bytes:
    """Decode hexadecimal digits.

    Raises:
        WrongKey: other characters stand between.
    """
    try:
        return bytes.fromhex(text)
    except ValueError as err:
        raise WrongKey from err

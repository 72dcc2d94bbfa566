"""AES as pages use it: published vectors, texts there and back, and keys that do not fit."""

import pytest

from scraper.protocols import ciphers

KEY, OTHER, IV = b"k" * 32, b"o" * 32, b"i" * 16
# The GCM specification's test case 8: AES-192, a key, a nonce and a text of zeros.
ZEROS_192 = bytes.fromhex("98e7247c07f0fe411c267e4384b0f6002ff58d80033927ab8ef4d4587514f0fb")


def test_gcm_as_published():
    assert ciphers.gcm_opened(bytes(12) + ZEROS_192, bytes(24)) == "\0" * 16


@pytest.mark.parametrize("sealed", [b"", bytes(27), bytes(12) + ZEROS_192[:-1], bytes(11) + b"\1" + ZEROS_192])
def test_gcm_refuses_what_was_changed(sealed):
    with pytest.raises(ciphers.WrongKey):
        ciphers.gcm_opened(sealed, bytes(24))


@pytest.mark.parametrize("text", ["", "a", "DicomDirPath=Z%3A%5CA1", "胸部CT" * 40])
def test_cbc_there_and_back(text):
    sealed = ciphers.cbc_sealed(text, KEY, IV)
    assert len(sealed) % 16 == 0
    assert ciphers.cbc_opened(sealed, KEY, IV) == text


@pytest.mark.parametrize("sealed", [b"", b"short", ciphers.cbc_sealed("胸部CT" * 40, OTHER, IV)])
def test_cbc_refuses_what_does_not_fit(sealed):
    with pytest.raises(ciphers.WrongKey):
        ciphers.cbc_opened(sealed, KEY, IV)


@pytest.mark.parametrize(
    ("read", "text"), [(ciphers.from_base64, "a*b="), (ciphers.from_base64, "胸"), (ciphers.from_hex, "0g")]
)
def test_what_is_no_bytes(read, text):
    with pytest.raises(ciphers.WrongKey):
        read(text)


def test_base64_over_lines():
    assert ciphers.from_base64("AAEC\r\nAw==\n") == b"\0\1\2\3"

"""Row 5: what ``send --set`` and a list write into copies is a value that its attribute can have, or nothing is sent.

And row 21's: which object it is, where it lies, and what was measured is never changed.
"""

from io import BytesIO

import pytest
from pydicom import dcmread

from fixtures.dicom import chest_ct
from scraper.batch.input import values
from scraper.core.errors import ExitCode, UsageError
from scraper.dicom.outgoing import copy_for_archive, keyword_of, value_of
from scraper.testing import first_of
from tests.test_cli import cloudfilm

NEVER = (
    "-0100020",  # a negative number is no tag; it ended the program
    "+0100020",
    "0x100020",
    "0010_020",
    "00090010",
    "60000022",  # text in an overlay, which every viewer draws over the pixels
    "50000022",
    "00000600",  # where an archive sends things
    "00041130",
    "7FE00010",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "SliceThickness",
    "PixelSpacing",
    "InstanceNumber",
    "SeriesNumber",
    "PatientPosition",
    "ImageType",
    "PatientIdentityRemoved",
    "VerificationFlag",
    "OriginalAttributesSequence",
    "\x1b[2JPatientID",
    "",
)
WRONG = (
    ("PatientID", "a\x1b]52;c;aGk=\x07"),
    ("PatientID", "a\nb"),
    ("PatientID", "a\0"),
    ("PatientID", "a\\b"),  # two values of what has one
    ("PatientID", "x" * 65),
    ("PatientID", "\udcff"),  # a byte of the command line that is no character
    ("PatientName", "a\u202eb"),
    ("PatientName", "张" * 65),
    ("PatientName", "a=b=c=d"),
    ("PatientBirthDate", "1970-01-01"),
    ("PatientSex", "male"),
    ("AccessionNumber", "x" * 17),
    ("PatientWeight", "heavy"),
    ("PatientComments", "x" * 10_241),
    ("PatientComments", "\x9b31m"),
    ("StudyDescription", "\U000e0041"),
)
FITTING = (
    ("PatientID", "../../etc/passwd"),
    ("PatientID", "=1+1"),
    ("PatientName", "Zhang^San=张^三"),
    ("PatientName", "שלום"),
    ("PatientComments", "a\r\nb\\c"),
    ("OtherPatientIDs", "a\\b"),
    ("PatientBirthDate", "19700101"),
    ("PatientWeight", "71.5"),
    ("AccessionNumber", ""),
)


@pytest.mark.parametrize("name", NEVER, ids=ascii)
def test_hostile_5_these_are_never_set(name):
    with pytest.raises(UsageError):
        keyword_of(name)


@pytest.mark.parametrize(("keyword", "value"), WRONG, ids=ascii)
def test_hostile_5_a_value_that_its_attribute_cannot_have_is_refused_and_not_repeated(keyword, value):
    with pytest.raises(UsageError) as caught:
        value_of(keyword, value)
    assert keyword in str(caught.value)
    assert value not in str(caught.value)


@pytest.mark.parametrize(("keyword", "value"), FITTING, ids=ascii)
def test_hostile_5_what_fits_stands_in_the_copy_as_it_was_given(keyword, value, tmp_path):
    path, copy = tmp_path / "a.dcm", tmp_path / "copy.dcm"
    path.write_bytes(chest_ct(slices=1, size=16).images[0].data)
    assert copy_for_archive(path, copy, {keyword: value_of(keyword, value)}, "") == ""
    written = dcmread(copy)[keyword]
    assert ("\\".join(map(str, written.value)) if written.VM > 1 else str(written.value or "")) == value
    assert dcmread(copy).pixel_array.tobytes() == dcmread(path).pixel_array.tobytes()


def test_hostile_5_names_in_undeclared_characters_survive_a_new_value(tmp_path):
    """A file whose GB 18030 is called ASCII is written again in UTF-8: its name must be the same, not its bytes as letters."""
    path, copy = tmp_path / "a.dcm", tmp_path / "copy.dcm"
    data = chest_ct(slices=1, size=16, charset="GB18030").images[0].data
    name = str(dcmread(BytesIO(data)).PatientName)
    assert not name.isascii()
    path.write_bytes(data.replace(b"GB18030 ", b"ISO_IR 6", 1))
    assert copy_for_archive(path, copy, {"PatientID": "新"}, "") == ""
    assert (str(dcmread(copy).PatientName), dcmread(copy).PatientID) == (name, "新")


LISTS = {
    "control characters": "study_uid,PatientID\n1.2,a\x1b[2J\n",
    "two values": "study_uid,PatientID\n1.2,a\\b\n",
    "too long": f"study_uid,PatientID\n1.2,{'x' * 65}\n",
    "one attribute twice": "study_uid,PatientID,00100020\n1.2,a,b\n",
    "one heading twice": "study_uid,PatientID,PatientID\n1.2,a,b\n",
    "a value beyond the header": "study_uid,PatientID\n1.2,a,b\n",
    "a quote that is never closed": 'study_uid,PatientID\n1.2,"a\n1.3,b\n',
    "a line that is no text": b"study_uid,PatientID\n1.2,\xff\xfe\xff\n",
    "a line of a megabyte": f"study_uid,PatientID\n1.2,{'x' * 2**20}\n",
}


@pytest.mark.parametrize("name", LISTS)
def test_hostile_5_a_list_with_one_wrong_row_sends_nothing(name, tmp_path):
    """Such a row was passed over, and its study would have been sent under the old number."""
    path, text = tmp_path / "list.csv", LISTS[name]
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UsageError):
        values.read(path)


@pytest.mark.parametrize("value", first_of(["-0100020=1", "PatientID=a\x1b[2J"]), ids=ascii)
def test_hostile_5_the_command_ends_with_2_and_no_escape(value, tmp_path):
    (tmp_path / "a.dcm").write_bytes(chest_ct(slices=1, size=16).images[0].data)
    done = cloudfilm("send", tmp_path, "pacs://A@127.0.0.1:1", "--set", value)
    assert done.returncode == ExitCode.USAGE, done.stderr
    assert "\x1b" not in done.stderr
    assert "Traceback" not in done.stderr

"""What strangers write (names, messages, hosts, codes, file names) is shown, and nothing obeys it."""

import csv
import io
import json
import os
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
import segno

from fixtures.dicom import chest_ct
from scraper.core.errors import LinkExpired, NoSuchFile
from scraper.core.messages import describe
from scraper.core.output import console, markup
from scraper.core.safe_text import csv_cell, json_text, one_line, visible, without_surrogates
from scraper.core.settings import Language
from scraper.testing import first_of
from tests import aurora
from tests.programs import environment, started
from tests.test_cli import cloudfilm, grab, site_of, up

ESC, OSC52, OSC8, C1, BIDI = (
    "\x1b[2J\x1b[31mred",
    "\x1b]52;c;aGFsbG8=\x07",
    "\x1b]8;;http://evil.test/\x1b\\press\x1b]8;;\x1b\\",
    "\x9b31m\x9d0;title\x9c\x85",
    "\u202egnp.exe\u202c \u2066\u2067 \u2069\u2069 \u200f\u061c",
)
MARKUP = "[link=http://evil.test]x[/link] [bold red]y[/] :skull: [/]"
ALL = f"{ESC}{OSC52}{OSC8}{C1}{BIDI}{MARKUP}\x00\x08\r\x7f\ufeff\u2028 שלום"
OBEYED = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2060-\u2065\u206a-\u206f\ufeff"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
# what a data set can hold of it: PS3.5 6.2 forbids controls, a hostile writer does not care
NAME = f"=cmd|' /C calc'!A0{ESC}{OSC52}{OSC8}{MARKUP}\u202eabc"


def harmless(text: str) -> None:
    assert OBEYED.search(text) is None, ascii(text)
    depth = 0
    for char in text:
        depth += (char in "\u2066\u2067\u2068") - (char == "\u2069")
        assert depth >= 0, ascii(text)
    assert depth == 0, ascii(text)


# ---- the door itself


@pytest.mark.parametrize(
    "text", [ALL, ESC, OSC52, OSC8, C1, BIDI, "\ud800x\udfff", "\U000e0041", "a\nb\tc", "\u2069שלום\u2068"]
)
def test_hostile_5_a_value_becomes_visible_and_stays_so(text):
    shown = visible(text)
    harmless(shown)
    assert visible(shown) == shown
    assert "\n" not in shown
    for char in text:
        if unicodedata.category(char)[0] in "LN":
            assert char in shown


@pytest.mark.parametrize(
    "starts", first_of([[*range(0, 0x10000, 4096), 0xE0000], range(0x10000, 0x110000, 4096)]), ids=["usual", "all"]
)
def test_hostile_5_every_code_point_is_harmless(starts):
    for start in starts:
        harmless("".join(visible(chr(code)).replace("\n", "!") for code in range(start, start + 4096)))


@pytest.mark.parametrize("name", ["张三", "Ünal Öz", "محمد", "👨‍👩‍👧", "a-b.c (1)", "O'Brien & Co <x>"])
def test_hostile_5_an_ordinary_name_is_not_touched(name):
    assert visible(name).strip("\u2068\u2069") == name


def test_hostile_5_what_is_written_from_right_to_left_is_isolated():
    assert visible("שלום") == "\u2068שלום\u2069"
    assert visible("Zhang") == "Zhang"


def test_hostile_5_json_keeps_the_value_and_shows_no_control():
    line = json_text({"name": ALL})
    harmless(line)
    assert json.loads(line) == {"name": ALL}
    assert json.loads(json_text({"name": "\ud800"})) == {"name": "\ufffd"}


@pytest.mark.parametrize(
    "cell",
    [
        "=1+1",
        "+1",
        "-1+cmd",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        " =1",
        "\n=1",
        "\x00=1",
        "＝1",
        "＋1",
        "－1",
        "＠x",
        "x;=1",
        "x; @y",
    ],
)
def test_hostile_5_no_cell_of_a_table_is_a_formula(cell):
    text = csv_cell(cell)
    harmless(text)
    for part in text.split(";"):
        assert not part.strip().startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠"))
    assert csv_cell(-3) == "-3"
    assert csv_cell(None) == ""


@pytest.mark.parametrize("terminal", [True, False])
def test_hostile_5_a_console_writes_no_control_of_strangers(terminal):
    from rich.table import Table
    from rich.text import Text

    out = console()
    out.file = written = io.StringIO()
    out._force_terminal = terminal  # rich takes this in its constructor only
    out._color_system = out._detect_color_system() if terminal else None
    table = Table(box=None)
    table.add_row(markup(ALL), Text(ALL), Text("x", style="link http://evil.test/"))
    out.print(table)
    out.print(f"[bold]{markup(ALL)}[/]")
    out.print(f"{markup('a')} [link=http://evil.test/]ours went wrong[/link]")
    text = written.getvalue()
    assert "\x1b]" not in text
    assert "\x07" not in text
    assert ("\x1b[" in text) is terminal
    harmless(re.sub(r"\x1b\[[0-9;]*m", "", text))


def test_hostile_5_a_sites_sentence_is_one_line():
    message = f"已过期{OSC52}\n✓ complete, 361 of 361\r\n{BIDI}"
    for language in Language:
        sentence = describe(LinkExpired(message, host=f"h{OSC8}\n"), language)
        harmless(sentence)
        assert "\n" not in sentence
    assert one_line("a \n b\t\tc") == "a b c"
    assert without_surrogates("a\ud800") == "a\ufffd"
    harmless(describe(NoSuchFile(path=f"x{ESC}"), Language.EN))


# ---- the commands


@pytest.fixture(scope="module")
def hostile():
    return chest_ct(
        slices=3,
        size=16,
        seed=5,
        localizers=0,
        dose_report=False,
        charset="ISO_IR 192",
        patient_name=NAME,
        description=f"{NAME}\u202e",
    )


def checked(done: subprocess.CompletedProcess[str], code: int) -> None:
    assert done.returncode == code, done.stderr
    harmless(done.stdout)
    harmless(done.stderr)


def read(path: Path) -> str:
    with path.open(encoding="utf-8", newline="") as file:
        return file.read()


def test_hostile_5_grab_list_verify_and_batch(hostile, tmp_path):
    site = site_of(hostile)
    with up(site):
        for extra in ((), ("--json",)):
            checked(grab(site, aurora.LINK, "-v", "-o", tmp_path / f"a{len(extra)}", *extra), 0)
        listed = cloudfilm("list", aurora.LINK, "--browser", "never", "--connect-to", site.connect_to[0])
        checked(listed, 0)
        (tmp_path / "links.csv").write_text(
            f'source,label\n{aurora.LINK},"{OSC52}{BIDI}\x1b=1"\nhttp://h{ESC}.test/x,=1\n', encoding="utf-8"
        )
        done = cloudfilm(
            "batch",
            tmp_path / "links.csv",
            "-o",
            tmp_path / "b",
            "--browser",
            "never",
            "--connect-to",
            site.connect_to[0],
        )
    harmless(done.stdout)
    harmless(done.stderr)
    page = read(tmp_path / "b" / "report.html")
    harmless(page)
    assert "gnp.exe" in page
    table = read(tmp_path / "b" / "report.csv").removeprefix("\ufeff").replace("\r\n", "\n")
    harmless(table)
    for row in csv.reader(io.StringIO(table)):
        for cell in row:
            assert not cell.strip().startswith(("=", "+", "@", "\t")), row
            assert not re.match(r"-\D", cell.strip()), row
    (saved,) = (report.parent for report in (tmp_path / "a0").rglob("study.json"))
    checked(cloudfilm("verify", saved), 0)
    worse = saved.with_name(f"x{ESC}{OSC52.replace('/', '')}")
    saved.rename(worse)
    checked(cloudfilm("verify", worse), 0)


def test_hostile_5_what_a_site_says_and_lone_surrogates(hostile, tmp_path):
    site = site_of(hostile)
    site._enter = lambda _: {"code": "EXPIRED", "message": f"过期 \ud800{OSC52}{BIDI}{MARKUP}"}
    with up(site):
        for words in (["grab", aurora.EXPIRED, "-o", tmp_path / "o"], ["list", aurora.EXPIRED]):
            for extra in ((), ("--json",)):
                done = cloudfilm(*words, *extra, "--browser", "never", "--connect-to", site.connect_to[0])
                checked(done, 6)
        links = tmp_path / "links.jsonl"
        links.write_text(json.dumps({"source": aurora.EXPIRED, "label": "\ud800x"}) + "\n", encoding="utf-8")
        done = cloudfilm(
            "batch", links, "-o", tmp_path / "b", "--json", "--browser", "never", "--connect-to", site.connect_to[0]
        )
        checked(done, 6)
    harmless(read(tmp_path / "b" / "report.html"))


@pytest.mark.parametrize("as_json", first_of([False, True]))
def test_hostile_5_codes_on_a_photo(tmp_path, as_json):
    for number, text in enumerate((f"text {ALL}", f"https://evil.test/{BIDI}x?a={MARKUP}")):
        segno.make(text, error="l", encoding="utf-8").save(str(tmp_path / f"{number}.png"), scale=6)
    done = cloudfilm("decode", tmp_path / "0.png", tmp_path / "1.png", *(["--json"] if as_json else []))
    harmless(done.stdout)
    harmless(done.stderr)
    assert "evil.test" in done.stdout


def test_hostile_5_names_of_providers_and_wrong_words():
    for words in (
        ["providers", ALL.replace("\x00", "")],
        ["grab", f"x{ESC}{OSC52}.jpg"],
        [f"nothing{ESC}"],
        ["grab", f"--{OSC8}"],
    ):
        checked(cloudfilm(*words), 2)


@pytest.mark.skipif(sys.platform == "win32", reason="a pseudo terminal is POSIX")
def test_hostile_5_a_terminal_sees_only_our_own_sequences(hostile, tmp_path):
    import pty

    site = site_of(hostile)
    leader, follower = pty.openpty()
    with up(site):
        words = ("grab", aurora.LINK, "-o", tmp_path, "--browser", "never", "--connect-to", site.connect_to[0])
        variables = environment(TERM="xterm-256color", COLUMNS="200")
        running = started(*words, environment=variables, stdout=follower, stderr=follower)
        os.close(follower)
        seen = b""
        while True:
            try:
                piece = os.read(leader, 65536)
            except OSError:  # Linux says so of a terminal that everybody left
                break
            if not piece:
                break
            seen += piece
        assert running.wait(60) == 0
    os.close(leader)
    text = seen.decode("utf-8", "replace")
    assert "\x1b]" not in text
    assert "evil.test" in text
    harmless(re.sub(r"\x1b\[\??[0-9;]*[A-HJKSTfmnsulh]", "", text).replace("\r", "").replace("\n", ""))

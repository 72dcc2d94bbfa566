"""What the packaged program runs: the command line; started without words or as ``cloudfilm-window``, the window.

PyInstaller makes two programs of this file that share one folder: ``cloudfilm`` for a terminal, and ``cloudfilm-window`` for a
double click, which on Windows has no console.
"""

import os
import sys
from pathlib import Path

from scraper.isolation.own_program import run_if_child

WINDOW = "cloudfilm-window"
_LIBRARIES = "LD_LIBRARY_PATH"  # PyInstaller's manual, "LD_LIBRARY_PATH / LIBPATH considerations"


def give_back_library_path() -> None:
    """Let programs of the system (the browser above all) find the system's own libraries instead of the package's."""
    original = os.environ.pop(f"{_LIBRARIES}_ORIG", None)
    if original is None:
        os.environ.pop(_LIBRARIES, None)
    else:
        os.environ[_LIBRARIES] = original


def find_packaged_libraries() -> None:
    """Let ``ctypes.util.find_library`` find what lies in the package; it asks the system alone, by other programs."""
    import ctypes.util

    inside = Path(sys._MEIPASS)  # type: ignore[attr-defined]  # set by PyInstaller
    ask_system = ctypes.util.find_library

    def find_library(name: str) -> str | None:
        found = sorted(inside.glob(f"lib{name}.*"))
        return str(found[0]) if found else ask_system(name)

    ctypes.util.find_library = find_library


def show_failure(text: str) -> None:
    """Say what went wrong where there is no terminal to say it in."""
    if sys.platform == "win32":
        import ctypes

        ctypes.windll.user32.MessageBoxW(0, text, "cloudfilm", 0x10)
        return
    import shutil
    import subprocess

    words = {
        "osascript": [
            "-e",
            "on run argv",
            "-e",
            'display alert "cloudfilm" message (item 1 of argv)',
            "-e",
            "end run",
            text,
        ],
        "zenity": ["--error", "--no-markup", "--title=cloudfilm", f"--text={text}"],
        "kdialog": ["--error", text, "--title", "cloudfilm"],
        "xmessage": [text],
    }
    for name, arguments in words.items():
        if program := shutil.which(name):
            subprocess.run([program, *arguments], check=False)
            return


def run_window() -> None:
    """Start the window; what the program would have said at a terminal of its end is shown in a box."""
    import io
    import traceback

    said = io.StringIO()
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115  # open as long as the process
    if sys.stderr is None:
        sys.stderr = said
    sys.argv[1:] = ["app", *sys.argv[1:]]
    from scraper.cli.start import main

    try:
        main()
    except SystemExit as err:
        if err.code and said.getvalue().strip():
            show_failure(said.getvalue().strip()[-2000:])
        raise
    except Exception:
        show_failure(traceback.format_exc()[-2000:])
        raise


def main() -> None:
    """Run as a child, as the window, or as the command line."""
    give_back_library_path()
    find_packaged_libraries()
    if run_if_child():
        return
    if Path(sys.argv[0]).stem == WINDOW:
        run_window()
        return
    from scraper.cli.start import main as run_command

    run_command()


if __name__ == "__main__":
    main()

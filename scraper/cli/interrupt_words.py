"""The sentence for Ctrl-C, available before anything else is loaded; the catalogue has the same sentences."""

import os

SENTENCES = {
    "en": "Interrupted. What arrived is kept; run the same command again to go on.",
    "zh": "已中断。已收到的内容已保存；再次运行同一命令即可继续。",
}


def sentence(arguments: list[str], encoding: str) -> bytes:
    """The sentence in the user's language; English where the terminal's encoding can't hold Chinese."""
    try:
        return SENTENCES[_language(arguments)].encode(encoding)
    except UnicodeEncodeError:
        return SENTENCES["en"].encode("ascii")


def _language(arguments: list[str]) -> str:
    for place, word in enumerate(arguments):
        name, equals, value = word.partition("=")
        chosen = value if equals else "".join(arguments[place + 1 : place + 2])
        if name == "--lang" and chosen in SENTENCES:
            return chosen
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        value = os.environ.get(name, "")
        if value:
            return "zh" if value.lower().startswith("zh") else "en"
    return "en"

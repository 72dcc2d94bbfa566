"""The forms, fields, buttons and links of an old page, whatever they are called and however its tables tear them apart.

facts: fixtures/sites/hospital_portal/README.md
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote_plus, urljoin

from scraper.contract import Request

DICOM_WORDS = re.compile(r"dicom|dcm|原始", re.I)
SCRIPT_LINK = re.compile(
    r"(?:location(?:\.href)?\s*=|location\.(?:replace|assign)\(|window\.open\(|\bopen\()\s*['\"]([^'\"]+)['\"]"
)
BUTTONS = ("submit", "image", "button")
TYPED = ("", "text", "tel", "number", "email", "search")


@dataclass(frozen=True, slots=True)
class Control:
    """One field, button or link; ``label`` is what stands before it, ``place`` its number among all of the page."""

    kind: str
    name: str
    value: str
    label: str
    place: int
    is_off: bool = False
    link: str = ""  # where a link, or a button's script, goes
    choices: tuple[tuple[str, str, bool], ...] = ()  # of a select: value, text, chosen

    @property
    def words(self) -> str:
        """All that tells what it is for."""
        return f"{self.label} {self.name} {self.value}"


@dataclass(slots=True)
class Form:
    """A form and its controls, also those that a table tears away from it (HTML 13.2.6.4.9, the form element pointer)."""

    action: str
    is_post: bool
    controls: list[Control] = field(default_factory=list)

    def request(self, filled: dict[str, str], pressed: Control | None, encoding: str, referer: str) -> Request:
        """The form as a browser submits it: fields as found, ``filled`` over them, the button that was pressed."""
        pairs: list[tuple[str, str]] = []
        for control in self.controls:
            if not control.name or control.is_off:
                continue
            if control.name in filled and control.kind not in BUTTONS:
                pairs.append((control.name, filled[control.name]))
            elif control.kind in BUTTONS:
                if control is pressed and control.kind == "image":
                    pairs += [(f"{control.name}.x", "1"), (f"{control.name}.y", "1")]
                elif control is pressed:
                    pairs.append((control.name, control.value))
            elif control.kind == "select":
                chosen = [value for value, _, is_chosen in control.choices if is_chosen]
                pairs += [(control.name, value) for value in chosen or [control.choices[0][0]] if control.choices]
            elif control.kind not in ("radio", "checkbox", "reset", "file") or control.choices:
                pairs.append((control.name, control.value))
        body = "&".join(f"{_quoted(name, encoding)}={_quoted(value, encoding)}" for name, value in pairs)
        target = pressed.link if pressed is not None and pressed.link else self.action
        if not self.is_post:
            return Request(target.partition("?")[0] + "?" + body, headers={"Referer": referer})
        sent = {"Content-Type": "application/x-www-form-urlencoded", "Referer": referer}
        return Request(target, "POST", sent, body.encode())


def owner_of(node: Any, by_node: dict[int, Form]) -> Form | None:
    """The form around a control; None where none is, or a table tore it away."""
    parent = node.parent
    while parent is not None:
        if parent.mem_id in by_node:
            return by_node[parent.mem_id]
        parent = parent.parent
    return None


def read_control(  # noqa: PLR0913, PLR0917  # all that stands around it
    tag: str, node: Any, attributes: dict[str, str | None], words: str, place: int, labels: dict[str, str], url: str
) -> Control:
    """One control as its page shows it; ``words`` is the text before it."""
    kind = (attributes.get("type") or "").lower().strip() if tag == "input" else tag
    if tag == "button":
        kind = (attributes.get("type") or "submit").lower()
    if kind in TYPED and is_hidden(attributes):
        kind = "hidden"
    value = attributes.get("value") or ""
    if tag in ("button", "a"):
        value = " ".join(node.text().split()) or attributes.get("title") or ""
    elif tag == "textarea":
        value = node.text()
    elif kind in ("radio", "checkbox") and not value:
        value = "on"
    if kind == "image":
        value = f"{value} {attributes.get('alt') or ''}".strip()
    hints = (attributes.get("placeholder") or "", attributes.get("title") or "", attributes.get("id") or "")
    label = " ".join([labels.get(attributes.get("id") or "-", ""), *hints, " ".join(words.split())])
    script = SCRIPT_LINK.search(f"{attributes.get('onclick') or ''} {attributes.get('href') or ''}")
    link = script[1] if script else attributes.get("formaction") or ""
    href = (attributes.get("href") or "").strip()
    if tag == "a" and not link and href and not href.lower().startswith(("javascript:", "#")):
        link = href
    choices = tuple(
        (
            item.attributes["value"] or "" if "value" in item.attributes else item.text().strip(),
            item.text().strip(),
            "selected" in item.attributes,
        )
        for item in (node.css("option") if tag == "select" else ())
    )
    if kind in ("radio", "checkbox") and "checked" in attributes:
        choices = ((value, label, True),)
    return Control(
        kind,
        attributes.get("name") or "",
        value,
        label.strip(),
        place,
        "disabled" in attributes,
        urljoin(url, link) if link else "",
        choices,
    )


def chosen_format(form: Form) -> Form | None:
    """The form with DICOM chosen, where it lets one choose between kinds by a list or a round button."""
    for at, item in enumerate(form.controls):
        if item.kind == "select":
            fit = [pair for pair in item.choices if DICOM_WORDS.search(f"{pair[0]} {pair[1]}")]
            if fit:
                chosen = tuple((value, text, value == fit[0][0]) for value, text, _ in item.choices)
                controls = [*form.controls]
                controls[at] = replace(item, choices=chosen)
                return Form(form.action, form.is_post, controls)
        if item.kind == "radio" and DICOM_WORDS.search(item.value):
            controls = [
                replace(control, choices=((control.value, control.label, True),) if control is item else ())
                if control.kind == "radio" and control.name == item.name
                else control
                for control in form.controls
            ]
            return Form(form.action, form.is_post, controls)
    return None


def is_hidden(attributes: dict[str, str | None]) -> bool:
    """Not shown to a person."""
    style = (attributes.get("style") or "").replace(" ", "").lower()
    return "hidden" in attributes or "display:none" in style or "visibility:hidden" in style


def _quoted(text: str, encoding: str) -> str:
    """As a form of that encoding sends it: what the encoding lacks becomes ``&#…;`` (URL standard, 5.1)."""
    return quote_plus(text.encode(encoding, "xmlcharrefreplace"), safe="*-._")

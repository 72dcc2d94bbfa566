"""Account-and-password portals, read as their pages stand: forms whatever their fields are called, lists, buttons, words.

facts: fixtures/sites/hospital_portal/README.md
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

from providers.hospital_portal.controls import (
    BUTTONS,
    DICOM_WORDS,
    TYPED,
    Control,
    Form,
    chosen_format,
    is_hidden,
    owner_of,
    read_control,
)
from providers.hospital_portal.rows import ARCHIVED, Examination, link_of, read_row
from scraper.contract import GB, Page, Request, Response, codec_of, decode_text

CAPTCHA_WORDS = re.compile(
    r"验证码|校验码|附加码|图形码|captcha|verif|validat|yzm|fjm|jym"
    r"|(?:v|check|rand|valid|auth|image|pic)_?code",
    re.I,
)
ACCOUNT_WORDS = re.compile(
    r"账号|帐号|账户|帐户|用户|卡号|手机|就诊|门诊|住院|证件|登录名|user|account|login|name|card|phone|mobile|uid", re.I
)
ORIGINAL_WORDS = re.compile(r"原始|original|raw", re.I)
PICTURE_WORDS = re.compile(r"jpe?g|png|bmp|图片|缩略|pdf|报告|胶片", re.I)
PACKAGE_WORDS = re.compile(r"压缩包|打包|下载|导出|zip", re.I)
REFUSED = re.compile(
    r"错误|不正确|有误|锁定|不存在|不匹配|不一致|失败|尝试|无效|失效|过期|超时|停用|禁用|冻结|不能为空"
    r"|incorrect|invalid|locked|wrong",
    re.I,
)
LAPSED = re.compile(
    r"登[录陆]超时|重新登[录陆]|请先登[录陆]|未登[录陆]|别处登[录陆]|(?:会话|登[录陆])已?(?:过期|失效|超时)"
)
PREPARING = re.compile(r"正在准备|准备中|正在(?:打包|压缩|生成|调取)|请稍[后候]")
CLOSED = re.compile(r"无权|权限|未开放|不提供|不允许|禁止|次数.{0,4}上限")
_GB = re.compile(rb"charset\s*+=\s*+(?:[\"']\s*+)?(gb2312|gbk|gb18030|x-gbk|cp936)", re.I)
_SAYS = re.compile(r"alert\s*\(\s*(['\"])(.+?)\1", re.S)
_GOES = re.compile(
    r"location(?:\.href)?\s*=\s*['\"]([^'\"]+)['\"]|location\.(?:replace|assign)\(\s*['\"]([^'\"]+)['\"]"
)
_SENTENCE = re.compile(r"[\n\r。！!；;|]+")
LONGEST_SENTENCE = 120


@dataclass(frozen=True, slots=True)
class Login:
    """A page that asks who is there: the names of its fields; ``captcha`` and ``picture`` are empty where it shows none."""

    form: Form
    account: Control | None
    password: Control
    captcha: Control | None
    picture: str
    pressed: Control | None

    def request(self, account: str, password: str, captcha: str, page: PortalPage) -> Request:
        """The form with the person's answers."""
        filled = {self.password.name: password}
        if self.account is not None:
            filled[self.account.name] = account
        if self.captcha is not None:
            filled[self.captcha.name] = captcha
        return self.form.request(filled, self.pressed, page.encoding, page.url)


@dataclass(frozen=True, slots=True)
class PackageControl:
    """A button or link of a detail page that hands out a package."""

    control: Control
    form: Form | None


class PortalPage:
    """One page of a portal, read once.

    Args:
        text: its HTML.
        url: where it came from.
        encoding: of what its forms send.
    """

    def __init__(self, text: str, url: str, encoding: str = "utf-8") -> None:
        self.url = url
        self.encoding = encoding
        self.page = Page(text, url)
        self.forms: list[Form] = []
        self.loose: list[Control] = []
        self.pictures: list[tuple[int, str, str]] = []  # how many controls stand before, words, address
        self._read()

    @classmethod
    def of(cls, response: Response) -> PortalPage:
        """An answer as a page: what calls itself GB2312 or GBK is GB18030."""
        label = response.headers.get("content-type", "").encode()
        if _GB.search(label) or _GB.search(response.body[:4096]):
            return cls(response.body.decode(GB, errors="replace"), response.url, "gbk")
        return cls(decode_text(response.body), response.url, "gbk" if codec_of(response.body) == GB else "utf-8")

    # ---- what it says

    @property
    def sentences(self) -> tuple[str, ...]:
        """Its sentences: visible ones, and those that a script shows in a dialog."""
        found = [match[2] for match in _SAYS.finditer(self.page.text)]
        body = self.page.find("body")
        lines = "" if body is None else "\n".join(_texts(body))
        found += [" ".join(line.split()) for line in _SENTENCE.split(lines)]
        return tuple(dict.fromkeys(item[:LONGEST_SENTENCE] for item in found if item))

    def says(self, words: re.Pattern[str]) -> str:
        """The first sentence with such words, or nothing."""
        return next((text for text in self.sentences if words.search(text)), "")

    @property
    def goes_to(self) -> tuple[float, str] | None:
        """Where the page leads by itself (``<meta http-equiv=refresh>``, a script), after how many seconds."""
        for node in self.page.all("meta[http-equiv]"):
            if (node.attributes.get("http-equiv") or "").lower() == "refresh":
                wait, _, target = (node.attributes.get("content") or "").partition(";")
                address = re.sub(r"(?i)^\s*url\s*=\s*", "", target).strip(" '\"")
                return _number(wait), urljoin(self.url, address) if address else self.url
        scripts = " ".join(node.text() for node in self.page.all("script"))
        match = _GOES.search(scripts)
        if match and not re.search(r"function\b", scripts[: match.start()]):
            return 0.0, urljoin(self.url, match[1] or match[2])
        return None

    @property
    def frame(self) -> str:
        """The largest part of a page made of frames: the one called so, else the last; empty where there is none."""
        frames = [node for node in self.page.all("frame, iframe") if node.attributes.get("src")]
        named = [node for node in frames if re.search(r"main|content|list|right", str(node.attributes), re.I)]
        chosen = (named or frames)[-1:] if not self.forms else []
        return urljoin(self.url, chosen[0].attributes.get("src") or "") if chosen else ""

    # ---- what it is

    @property
    def login(self) -> Login | None:
        """The form with a password field, its fields recognised by type, label and order; None where there is none."""
        scopes = [*self.forms, Form(self.url, is_post=True, controls=self.loose)]
        for form in scopes:
            password = next((control for control in form.controls if control.kind == "password"), None)
            if password is None:
                continue
            typed = [control for control in form.controls if control.kind in TYPED and not control.is_off]
            captcha = next(
                (control for control in typed if CAPTCHA_WORDS.search(f"{control.label} {control.name}")), None
            )
            rest = [control for control in typed if control is not captcha]
            account = next(
                (control for control in rest if ACCOUNT_WORDS.search(f"{control.label} {control.name}")), None
            )
            account = account or next(iter(rest), None)
            later = [control for control in rest if control is not account and control.place > password.place]
            picture = self._picture(captcha)
            if captcha is None and later and picture:
                captcha = later[0]
            buttons = [control for control in form.controls if control.kind in ("submit", "image")]
            picture = self._picture(captcha) if captcha else ""
            return Login(form, account, password, captcha, picture, next(iter(buttons), None))
        return None

    def _picture(self, captcha: Control | None) -> str:
        """The address of the picture with the characters: the one called so, else the one that a script draws."""
        called = [url for _, words, url in self.pictures if CAPTCHA_WORDS.search(words)]
        if called:
            return called[0]
        drawn = [
            (abs(before - (captcha.place if captcha else before)), url)
            for before, _, url in self.pictures
            if not re.search(r"\.(?:gif|jpe?g|png|bmp|svg|webp|ico)(?:$|[?#])", url, re.I)
        ]
        return min(drawn)[1] if drawn else ""

    @property
    def offers(self) -> list[PackageControl]:
        """What hands out originals, best first: buttons and links that say DICOM, then a package that says no kind."""
        ranked: list[tuple[int, PackageControl]] = []
        for form, control in self._controls():
            if control.is_off or control.kind not in (*BUTTONS, "a"):
                continue
            if form is None and not control.link:
                continue
            own = f"{control.value} {control.name}" if control.kind != "a" else control.value
            is_plain = not (DICOM_WORDS.search(own) or PICTURE_WORDS.search(own))
            words = f"{own} {control.label}" if is_plain else own
            hidden = (
                " ".join(f"{item.name} {item.value}" for item in form.controls if item.kind == "hidden") if form else ""
            )
            chosen = chosen_format(form) if form else None
            if chosen is not None and (DICOM_WORDS.search(words) or PACKAGE_WORDS.search(words)):
                ranked.append((0, PackageControl(control, chosen)))
            elif DICOM_WORDS.search(words) and not PICTURE_WORDS.search(words):
                ranked.append((0 if ORIGINAL_WORDS.search(words) else 1, PackageControl(control, form)))
            elif (
                PACKAGE_WORDS.search(own)
                and not PICTURE_WORDS.search(f"{words} {control.link} {hidden}")
                and (form is not None or control.link)
            ):
                ranked.append((2, PackageControl(control, form)))
        return [offer for _, offer in sorted(ranked, key=lambda item: item[0])]

    @property
    def gives_pictures(self) -> bool:
        """Does it offer a package of pictures."""
        return any(
            control.kind in (*BUTTONS, "a")
            and PICTURE_WORDS.search(control.words)
            and PACKAGE_WORDS.search(control.words)
            for _, control in self._controls()
        )

    @property
    def examinations(self) -> list[Examination]:
        """The rows of the list: of each table that has links to details, or rows that say why there is none."""
        found = []
        for table in self.page.all("table"):
            if any(node.mem_id != table.mem_id for node in table.css("table")):
                continue
            heads: list[str] = []
            for row in table.css("tr"):
                cells = [" ".join(node.text().split()) for node in row.css("td, th")]
                if not heads or (row.css_first("td") is None and len(cells) > 2):
                    heads = cells
                    if row.css_first("th") is not None or not link_of(row, self.url):
                        continue
                url = link_of(row, self.url)
                text = " ".join(cells)
                if len(cells) > 2 and (url or ARCHIVED.search(text)):
                    found.append(read_row(url, heads, cells))
        return found

    @property
    def next_pages(self) -> list[str]:
        """Other pages of the list: the next one, and those with a number."""
        found = []
        for node in self.page.all("a[href]"):
            text, href = node.text().strip(), node.attributes.get("href") or ""
            is_page = re.fullmatch(r"(?:下一?页|后一?页|末页|尾页|next)?\s*[>\u203a\xbb]*|\[?\d{1,3}\]?", text, re.I)
            if (
                text
                and is_page
                and re.search(r"page|pn=|p=|index=", href, re.I)
                and not href.lower().startswith("javascript")
            ):
                found.append(urljoin(self.url, href))
        return list(dict.fromkeys(found))

    @property
    def rows(self) -> dict[str, Examination]:
        """The rows of the list, by the address of their pages or, without one, by all that they say."""
        return {examination.url or repr(examination): examination for examination in self.examinations}

    @property
    def way_to_list(self) -> str:
        """A link that says it leads to the list of examinations, or nothing."""
        for node in self.page.all("a[href]"):
            href = node.attributes.get("href") or ""
            if re.search(
                r"检查列表|我的检查|影像列表|检查查询|影像查询|我的影像|检查记录", node.text()
            ) and not href.startswith(("javascript", "#")):
                return urljoin(self.url, href)
        return ""

    # ---- reading

    def _controls(self) -> Iterator[tuple[Form | None, Control]]:
        for form in self.forms:
            yield from ((form, control) for control in form.controls)
        yield from ((None, control) for control in self.loose)

    def _read(self) -> None:
        root = self.page.find("html")
        if root is None:
            return
        by_node: dict[int, Form] = {}
        torn: Form | None = None
        words, place = "", 0
        labels = {
            item.attributes.get("for") or "": " ".join(item.text().split()) for item in self.page.all("label[for]")
        }
        for node in root.traverse(include_text=True):
            tag, attributes = node.tag or "", dict(node.attributes)
            if tag == "-text":
                if node.parent is not None and node.parent.tag not in ("script", "style", "option", "title"):
                    words = f"{words} {node.text(deep=False)}"[-60:]
            elif tag == "form":
                action = urljoin(self.url, (attributes.get("action") or "").strip() or self.url)
                form = Form(action, (attributes.get("method") or "get").lower() == "post")
                self.forms.append(form)
                by_node[node.mem_id] = torn = form
            elif tag == "img":
                seen = " ".join(
                    str(attributes.get(literal) or "")
                    for literal in ("id", "name", "alt", "title", "class", "src", "onclick")
                )
                if attributes.get("src") and not is_hidden(attributes):
                    self.pictures.append((place, seen, urljoin(self.url, attributes["src"] or "")))
            elif tag in ("input", "button", "a", "select", "textarea"):
                control = read_control(tag, node, attributes, words, place, labels, self.url)
                place += tag in ("input", "button", "a")
                words = "" if control.kind not in ("hidden", "radio", "checkbox") else words
                owner = owner_of(node, by_node)
                if owner is None and torn is not None and tag != "a":
                    owner = torn
                (owner.controls if owner is not None else self.loose).append(control)


def _number(text: str) -> float:
    try:
        return float(text.strip())
    except ValueError:
        return 0.0


def _texts(body: Any) -> Iterator[str]:
    for node in body.traverse(include_text=True):
        if node.tag == "-text" and node.parent is not None and node.parent.tag not in ("script", "style"):
            yield node.text(deep=False)
        elif node.tag in ("br", "p", "div", "tr", "td", "li", "h1", "h2", "h3", "form", "input"):
            yield "\n"

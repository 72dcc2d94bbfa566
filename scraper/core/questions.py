"""The questions that sites ask a person: a password, a phone number, a captcha."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Question:
    """What a page asks of a person; ``name`` is the FIELD of ``--answer``, the labels are a form's own wording.

    ``options``: what may be chosen, as a person sees it, where the answer is the number of an option, from 1.
    """

    name: str
    zh: str
    en: str
    options: tuple[str, ...] = ()


PASSWORD = Question("password", "密码", "password")
ACCESS_CODE = Question("access_code", "访问码 / 安全码 / 提取码", "access code")
PHONE = Question("phone", "手机号", "phone number")
PHONE_LAST4 = Question("phone_last4", "手机号后四位", "last 4 digits of the phone number")
ID_LAST4 = Question("id_last4", "身份证后四位", "last 4 characters of the ID card")
ID_LAST6 = Question("id_last6", "身份证后六位", "last 6 characters of the ID card")
NAME = Question("name", "姓名", "patient's name")
ACCOUNT = Question("account", "账号", "account")
CAPTCHA = Question("captcha", "验证码", "characters in the picture")
SMS_CODE = Question("sms_code", "短信验证码", "code sent by SMS")
TOKEN = Question("token", "访问令牌", "access token")
FILM_LINK = Question("film_link", "影像链接的编号", "number of the film's link")
QUESTIONS = (
    PASSWORD,
    ACCESS_CODE,
    PHONE,
    PHONE_LAST4,
    ID_LAST4,
    ID_LAST6,
    NAME,
    ACCOUNT,
    CAPTCHA,
    SMS_CODE,
    TOKEN,
    FILM_LINK,
)

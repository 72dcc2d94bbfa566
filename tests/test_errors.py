"""What a site's own words for a closed door mean."""

from functools import partial

import pytest

from scraper.core.errors import (
    CaptchaRequired,
    CredentialsRefused,
    CredentialsRequired,
    DownloadNotPermitted,
    LinkExpired,
    NoSuchStudy,
    ShareCancelled,
    SiteBusy,
    StudyGone,
)
from scraper.core.refusals import refusal_error

CASES = (
    ("分享已过期", LinkExpired),
    ("该分享链接已过有效期", LinkExpired),
    ("已超出有效期，请重新获取", LinkExpired),
    ("This link has Expired", LinkExpired),
    ("用户已关闭此分享", ShareCancelled),
    ("患者已收回分享", ShareCancelled),
    ("查无此检查", NoSuchStudy),
    ("未查询到影像", NoSuchStudy),
    ("有效期至明天", StudyGone),
    ("参数错误", StudyGone),
    ("系统异常", SiteBusy),
    ("服务器繁忙，请稍后再试", SiteBusy),
    ("影像正在归档，请稍后重试", SiteBusy),
    ("请完成身份验证", CaptchaRequired),
    ("验证码错误", CredentialsRefused),
)
QUESTIONS = (
    ("请先进行手机号码验证", "phone"),
    ("请先绑定手机号", "phone"),
    ("请输入手机号后四位", "phone_last4"),
    ("请输入身份证号后6位", "id_last6"),
    ("请输入安全码", "access_code"),
    ("Please verify your phone number", "phone"),
)


@pytest.mark.parametrize(("message", "kind"), CASES)
def test_a_sites_words(message, kind):
    error = refusal_error(message, host="film.aurora.test")
    assert type(error) is kind
    assert message in str(error)


@pytest.mark.parametrize(("message", "field"), QUESTIONS)
def test_words_that_ask_for_something_name_the_question(message, field):
    error = refusal_error(message, or_else=DownloadNotPermitted)
    assert (type(error), error.field) == (CredentialsRequired, field)


def test_a_refused_answer_is_one_whatever_the_site_says_of_it():
    error = refusal_error("请先输入手机号", or_else=partial(CredentialsRefused, "id_last4"))
    assert (type(error), error.field) == (CredentialsRefused, "id_last4")

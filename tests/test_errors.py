"""What a site's own words for a closed door mean."""

import pytest

from scraper.core.errors import LinkExpired, NoSuchStudy, ShareCancelled, StudyGone
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
    ("系统异常", StudyGone),
)


@pytest.mark.parametrize(("message", "kind"), CASES)
def test_a_sites_words(message, kind):
    error = refusal_error(message, host="film.aurora.test")
    assert type(error) is kind
    assert message in str(error)

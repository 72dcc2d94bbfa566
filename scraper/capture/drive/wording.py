"""Wordings of buttons, lists and messages on viewers' pages, in Chinese and in English, by which elements are recognised."""

from __future__ import annotations

import re

NEVER = re.compile(
    r"退出|注销|登出|支付|付款|缴费|购买|删除|取消|分享|公众号|小程序|报告|既往|历史|其他检查|打印|返回|关闭|客服|帮助|说明|"
    r"log ?out|sign ?out|pay|delete|cancel|share|report|prior|history|print|close|help|about",
    re.IGNORECASE,
)
A_SERIES = re.compile(r"(剂量|dose).{0,3}(报告|report)|structured report", re.IGNORECASE)  # no report of a physician
ENTRY = re.compile(
    r"(查看|浏览|打开|调阅|观看|阅览|进入|显示).{0,4}(影像|图像|胶片|原图|DICOM)|(影像|图像|胶片).{0,2}(浏览|查看|调阅|阅览)|"
    r"^(影像|图像|影像资料|检查影像|医学影像|原始影像|电子胶片|云胶片|数字影像)$|"
    r"\b(view|open|show|launch)\b.{0,12}\b(images?|imaging|study|viewer|dicom|film)|^(viewer|images)$",
    re.IGNORECASE,
)
CHOICE = re.compile(r"^(查看|详情|查看详情|打开|进入|选择|view|open|details?)$", re.IGNORECASE)
HISTORY = re.compile(r"既往|历史|以往|以前|其他检查|prior|history|previous", re.IGNORECASE)
NEXT_SERIES = re.compile(
    r"^(下一?个?(序列|组|系列)|(序列|组)[>\u203a\u00bb]|next[ _-]?series|series[ _-]?(next|[>\u203a\u00bb]))$",
    re.IGNORECASE,
)
MORE = re.compile(
    r"^(点击)?(加载|查看|显示|展开)(更多|全部|其[余他它]|剩余)(的)?(序列|图像|影像)?(\s*[(（]\s*\d+\s*[)）])?$|"
    r"^(更多|(其[余他它]|剩余|全部)(的)?(?=序列|图像|影像))(序列|图像|影像)?(\s*[(（]\s*\d+\s*[)）])?$|^(下一?页|后一?页)$|"
    r"^(load|show|view) (more|all|remaining|other)( series| images)?$|"
    r"^(more|(other|remaining)(?= series| images))( series| images)?$|^next( page)?$",
    re.IGNORECASE,
)
BACK = re.compile(
    r"^[<\u2039\u00ab\u2190\s]*(返回|back)( to list|序列|列表|上一?[页级层])?$|^(序列|影像)列表$", re.IGNORECASE
)
NEXT_PAGE = re.compile(r"^(下一?页|后一?页|next( page)?)$", re.IGNORECASE)  # it takes away what was shown
NOTICE = re.compile(r"^(我?(已)?(知道|知晓|了解)了?|got it|dismiss)$", re.IGNORECASE)  # no consent: that is a person's
SUBMIT = re.compile(
    r"^(确\s?定|确\s?认|提\s?交|查\s?询|登\s?录|进\s?入|查\s?看|验\s?证|下一步|ok|submit|log ?in|sign ?in|enter|next|verify)",
    re.IGNORECASE,
)
PHONE_ONLY = re.compile(
    r"请.{0,6}(手机|微信|移动端|移动设备).{0,6}(打开|访问|查看|浏览|扫)|仅支持.{0,6}(手机|微信|移动)|"
    r"(open|use|visit).{0,20}\b(phone|mobile|wechat)",
    re.IGNORECASE,
)
BY_HAND = re.compile(  # a check that only a person's hand passes: a knob to be dragged, a puzzle to be filled
    r"(拖动|滑动|拖拽|按住).{0,8}(滑块|滑条|拼图|最右)|(向右|往右).{0,2}(滑动|拖动)|(滑块|滑动|拼图)验证|"
    r"\b(drag|slide|swipe)\b.{0,20}\b(slider|puzzle|verify|right)\b",
    re.IGNORECASE,
)
WAITING = re.compile(
    r"(正在|稍后|稍候|请等待|请耐心|准备中|加载中|调阅中|排队|下载中|处理中)|\b(preparing|loading|please wait|queued)\b",
    re.IGNORECASE,
)
EXPIRED = re.compile(
    r"(链接|分享|二维码|页面)?.{0,4}(已失效|已过期|已经过期|已到期)|(link|share) has expired|đã (hết|quá) hạn",
    re.IGNORECASE,
)
LONGEST_MESSAGE = 200  # a page with more text is more than a message


def is_never(text: str) -> bool:
    """Whether an entry of a series list must not be pressed."""
    return NEVER.search(A_SERIES.sub("", text)) is not None

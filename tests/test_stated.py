"""Counts of images as pages state them."""

import pytest

from scraper.capture.drive.stated_counts import count_of, entries, of_all, totals


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("5mm 纵隔窗 (10)", 10),
        ("(12张)", 12),
        ("共 131张 106→109", 131),
        ("68幅", 68),
        ("定位像(1张)", 1),
        ("胸部平扫 1.0mm（12张）", 12),
        ("１２张", 12),
        ("12 张", 12),
        ("12幅", 12),
        ("12帧", 12),
        ("共12", 12),
        ("共 12 张", 12),
        ("共计12幅影像", 12),
        ("定位像 共2幅", 2),
        ("[共 12 张]", 12),
        ("序列数量：12", 12),
        ("张数: 12", 12),
        ("影像数 12", 12),
        ("1/12", 12),
        ("Im: 1/12", 12),
        ("Im: 1 / 12", 12),
        ("Img 1/12 WW 400 WL 40", 12),
        ("Se: 2 Im: 1/12 512x512 5.0mm", 12),
        ("第1张/共12张", 12),
        ("第 1 / 12 张", 12),
        ("1 of 12", 12),
        ("Image 3 of 20", 20),
        ("(1/12)", 12),
        ("12 images", 12),
        ("12 Images", 12),
        ("Lung 1.0 B70f 240 images", 240),
        ("Images: 12", 12),
        ("images (12)", 12),
        ("Number of images 12", 12),
        ("12 slices", 12),
        ("(12)", 12),
        ("[12]", 12),
        ("[3] 5mm 平扫 (20)", 20),
        ("(20) [3] 5mm", 20),
        ("[3] Chest 5.0 B31f [20张]", 20),
        ("3. 胸部 12张", 12),
        ("序列3 12张", 12),
        ("No.3 (12)", 12),
        ("12 images, 3 series", 12),
        ("3个序列 共24张", 24),
        ("共3个序列", None),
        ("共 3 个序列，24 张影像", 24),
        ("CT 胸部平扫", None),
        ("2026-01-08", None),
        ("2026/01/08", None),
        ("01/08/2026", None),
        ("2026年1月8日", None),
        ("(2026)", None),
        ("10:21", None),
        ("5mm", None),
        ("5.0mm", None),
        ("(5mm)", None),
        ("512x512", None),
        ("512×512", None),
        ("120/80", None),
        ("WW: 400 WL: 40", None),
        ("Image 5", None),
        ("Im: 5", None),
        ("第5张", None),
        ("第 5 幅", None),
        ("64排CT", None),
        ("45岁", None),
        ("50%", None),
        ("1.2.840.10008", None),
        ("B31f", None),
        ("", None),
        ("0张", None),
        ("Series 3", None),
        ("-12", None),
    ],
)
def test_verdicts_1_the_count_of_an_entry(text, count):
    found = count_of(text)
    assert (found.total if found else None) == count


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("张三 男 45岁\nIm: 1/26\nWW 400", {26}),
        ("1/3\nIm: 2/26", {3, 26}),
        ("2026/01/08 10:20\n(20)", set()),
        ("1/2/2026", set()),
        ("26/26", {26}),
        ("27/26", set()),
        ("", set()),
    ],
)
def test_verdicts_1_the_running_counters_of_a_page(text, found):
    assert totals(text) == found


def test_verdicts_1_hostile_texts_are_read_once():
    """A text that is all brackets and numbers takes no longer than its length."""
    assert count_of("(" * 20_000 + "12") is None
    assert count_of("1/" * 10_000 + "12") is None
    assert count_of("共" * 19_000 + "12张").total == 12


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        (["定位像 2张", "5mm 8张", "第 1/2 张"], [2, 8]),
        (["定位像 2张", "5mm 8张", "Im: 3/8"], [2, 8]),
        (["定位像 2张", "3/8"], [2, 8]),
        (["定位像 2张", "5mm 1/2"], [2, 2]),
        (["1/2", "1/8", "1/8"], [2, 8, 8]),
    ],
)
def test_the_counter_beside_the_picture_is_no_entry_of_the_list(rows, found):
    assert entries(rows, "") == found


@pytest.mark.parametrize(
    ("shown", "page", "counts"),
    [
        (["序列1 2张", "序列2 8张", "序列3 6张"], "", [2, 8, 6]),
        (["序列1 8张", "序列2 2张", "序列3 6张"], "", [8, 2, 6]),
        (["全部 8张", "序列1 2张", "序列2 6张"], "", [2, 6]),
        ([], "共 21 张\n定位像 1张\n平扫 12张\n肺窗 8张", [1, 12, 8]),
        ([], "定位像 2张\n平扫 8张\n肺窗 6张", [2, 8, 6]),
    ],
    ids=["between", "first, of a series", "first, of all", "above", "between lines"],
)
def test_verdicts_1_the_total_of_the_study_is_no_series(shown, page, counts):
    assert entries(shown, page) == counts


@pytest.mark.parametrize(
    ("page", "found"),
    [
        ("图像总数：24 幅", [24]),
        ("胸部CT平扫 共24幅\n1/20", [24]),
        ("5mm 纵隔窗 20幅\n1/20", []),
        ("历史检查 共300幅", []),
        ("第 1 页 / 共 3 页", []),
        ("Total images: 24", [24]),
    ],
)
def test_what_a_page_states_of_all_images_together(page, found):
    assert of_all(page) == found

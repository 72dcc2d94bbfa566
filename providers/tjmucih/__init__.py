"""圆心云影 of 天津市肿瘤医院, a page that shows one image at a time."""

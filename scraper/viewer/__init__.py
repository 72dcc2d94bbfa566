"""A study to look at in a browser: what its files show, packed without loss, and the program that displays it."""

from scraper.viewer.page import Page, write_page
from scraper.viewer.study import StudyView, ViewedSeries, preview_study, view_study

__all__ = ["Page", "StudyView", "ViewedSeries", "preview_study", "view_study", "write_page"]

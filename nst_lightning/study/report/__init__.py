"""Writes the page of a study."""

from nst_lightning.study.report.page import PAGE_FILE, is_up_to_date, write_page

__all__ = ["PAGE_FILE", "is_up_to_date", "write_page"]

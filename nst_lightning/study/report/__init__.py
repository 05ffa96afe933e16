"""The page of a study."""

from nst_lightning.study.report.write import PAGE, is_up_to_date, write_page

__all__ = ["PAGE", "is_up_to_date", "write_page"]

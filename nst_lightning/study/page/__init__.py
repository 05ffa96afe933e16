"""The page of a study."""

from nst_lightning.study.page.write import write_page

__all__ = ["write_page"]

"""The tests mirror the folders of the package: ``tests/losses/test_gram.py`` tests ``nst_lightning/losses/gram.py``.

``helpers.py`` has what all tests share; a folder with helpers of its own has a module or a ``conftest.py`` for them.
``cli/`` tests whole runs of `fit` by topic. Tests at the top concern the project as a whole: the order of imports, the
README files, the wheel.
"""

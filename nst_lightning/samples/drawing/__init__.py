"""The code that drew the sample pictures; it is part of the repository, not of the installed package."""

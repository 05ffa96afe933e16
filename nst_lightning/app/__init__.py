"""The web app on the own machine: `python -m nst_lightning app`."""

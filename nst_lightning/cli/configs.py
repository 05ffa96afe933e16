"""The configuration files that come with the package."""

from pathlib import Path

from nst_lightning.errors import InputError


def find_config(name: str) -> Path:
    """Finds a packaged configuration file by its bare name.

    Raises:
        InputError: there is no configuration of that name.
    """
    folder = Path(__file__).parents[2] / "configs"
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
        raise InputError(f"Expected a configuration file or a name among {known}, but got {name!r}.")
    return path

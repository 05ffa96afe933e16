"""Files and folders that are written completely or not at all."""

from pathlib import Path

import pytest

from nst_lightning.errors import InputError
from nst_lightning.images.atomic import atomic_folder, atomic_path, make_writable_folder, write_bytes


def list_files(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def write_half(path: Path) -> None:
    path.write_text("half")
    raise OSError("disk full")


def test_atomic_file_replaces_the_previous_one_at_the_end(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a.txt", b"old")
    with atomic_path(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
        assert (tmp_path / "a.txt").read_text() == "old"
        assert temporary.parent == tmp_path
    assert list_files(tmp_path) == {"a.txt": "new"}


def test_atomic_file_keeps_the_previous_one_after_a_failure(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a.txt", b"old")
    with pytest.raises(OSError, match="disk full"), atomic_path(tmp_path / "a.txt") as temporary:
        write_half(temporary)
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "b.txt"):
        pass
    assert list_files(tmp_path) == {"a.txt": "old"}


def test_atomic_folder_contains_all_files_or_none(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    (folder / "notes.txt").write_text("kept")
    (folder / "1.txt").write_text("old")
    with pytest.raises(OSError, match="disk full"), atomic_folder(folder) as temporary:
        write_half(temporary / "1.txt")
    assert list_files(tmp_path) == {"frames/notes.txt": "kept", "frames/1.txt": "old"}
    with atomic_folder(folder) as temporary:
        (temporary / "1.txt").write_text("new")
        (temporary / "2.txt").write_text("new")
    assert list_files(tmp_path) == {"frames/notes.txt": "kept", "frames/1.txt": "new", "frames/2.txt": "new"}
    assert [path.name for path in tmp_path.iterdir()] == ["frames"]


def test_atomic_folder_that_cannot_be_created_is_an_error_of_one_line(tmp_path: Path) -> None:
    make_writable_folder(tmp_path / "a" / "b")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be made"):
        make_writable_folder(tmp_path / "file" / "folder")

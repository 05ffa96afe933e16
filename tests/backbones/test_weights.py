import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from nst_lightning.backbones.weights import (
    PUBLISHED,
    PublishedWeights,
    download_weights,
    read_preprocessing,
    read_tensors,
)
from nst_lightning.errors import InputError

CONTENT = b"the weights of a network" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()[:8]


class Counting(SimpleHTTPRequestHandler):
    requests = 0

    def do_GET(self) -> None:
        Counting.requests += 1
        super().do_GET()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server of this machine with a file to download, and an empty cache."""
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "net.pth").write_bytes(CONTENT)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    Counting.requests = 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Counting, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def published(*urls: str, sha256: str = DIGEST) -> PublishedWeights:
    return PublishedWeights(urls, sha256, "imagenet", "MIT")


def test_download_is_verified_and_kept(url: str, tmp_path: Path) -> None:
    path = download_weights(published(f"{url}/net.pth"))
    assert path == tmp_path / "home" / "hub" / "checkpoints" / "net.pth"
    assert path.read_bytes() == CONTENT
    download_weights(published(f"{url}/net.pth"))
    assert Counting.requests == 1


def test_wrong_checksum_leaves_nothing_behind(url: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"net\.pth \(wrong checksum\)"):
        download_weights(published(f"{url}/net.pth", sha256="00000000"))
    assert list((tmp_path / "home").rglob("*.*")) == []


def test_a_mirror_is_tried(url: str) -> None:
    assert download_weights(published(f"{url}/missing/net.pth", f"{url}/net.pth")).read_bytes() == CONTENT


def test_without_a_network_the_folder_is_named(url: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        download_weights(published("http://127.0.0.1:1/net.pth"))
    assert f"Put the file into {tmp_path / 'home' / 'hub' / 'checkpoints'} by hand" in str(caught.value)
    assert "--model.backbone.weights FILE" in str(caught.value)


def test_a_damaged_file_in_the_cache_is_noticed(url: str) -> None:
    path = download_weights(published(f"{url}/net.pth"))
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(InputError, match=f"sha256 of .* that begins with {DIGEST}"):
        download_weights(published(f"{url}/net.pth"))


def test_published_files_carry_their_checksum_in_their_name() -> None:
    assert len(PUBLISHED) == 4
    for (_, weights), file in PUBLISHED.items():
        assert file.sha256 in file.file_name
        assert file.preprocessing == weights
        assert read_preprocessing(Path(file.file_name)) == weights
        assert all(address.startswith("https://") for address in file.urls)


def test_only_wanted_tensors_are_read_in_float32(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save({"a": torch.ones(2, dtype=torch.float16), "b": torch.ones(3)}, path)
    found = read_tensors(path, {"a"}.__contains__)
    assert list(found) == ["a"]
    assert found["a"].dtype == torch.float32


def test_files_of_old_torch_are_read(tmp_path: Path) -> None:
    path = tmp_path / "old.pth"
    torch.save({"a": torch.ones(2)}, path, _use_new_zipfile_serialization=False)
    assert torch.equal(read_tensors(path, lambda name: True)["a"], torch.ones(2))


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_files_that_are_no_weights_are_told(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"hello")
    with pytest.raises(InputError, match=f"Expected weights in .*{name}"):
        read_tensors(path, lambda name: True)
    with pytest.raises(InputError, match="there is none at"):
        read_tensors(tmp_path / "nowhere.pth", lambda name: True)


def test_pickled_code_is_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (print, ("run",))

    path = tmp_path / "evil.pth"
    torch.save({"a": Evil()}, path)
    with pytest.raises(InputError, match=r"Expected weights in .*evil\.pth"):
        read_tensors(path, lambda name: True)

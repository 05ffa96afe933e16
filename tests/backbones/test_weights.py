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
    preprocessing_of,
    read_tensors,
)
from nst_lightning.errors import InputError

CONTENT = b"the weights of a network" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()[:8]


class CountingHandler(SimpleHTTPRequestHandler):
    requests = 0

    def do_GET(self) -> None:
        CountingHandler.requests += 1
        super().do_GET()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of a local server with a file to download; the cache is empty."""
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "net.pth").write_bytes(CONTENT)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    CountingHandler.requests = 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(CountingHandler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def create_published_weights(*urls: str, sha256: str = DIGEST) -> PublishedWeights:
    return PublishedWeights(urls, sha256, "imagenet", "MIT")


def test_download_weights_verifies_and_caches(server_url: str, tmp_path: Path) -> None:
    path = download_weights(create_published_weights(f"{server_url}/net.pth"))
    assert path == tmp_path / "home" / "hub" / "checkpoints" / "net.pth"
    assert path.read_bytes() == CONTENT
    download_weights(create_published_weights(f"{server_url}/net.pth"))
    assert CountingHandler.requests == 1


def test_download_weights_leaves_no_file_with_a_wrong_checksum(server_url: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"net\.pth \(wrong checksum\)"):
        download_weights(create_published_weights(f"{server_url}/net.pth", sha256="00000000"))
    assert list((tmp_path / "home").rglob("*.*")) == []


def test_download_weights_tries_mirrors(server_url: str) -> None:
    weights = create_published_weights(f"{server_url}/missing/net.pth", f"{server_url}/net.pth")
    assert download_weights(weights).read_bytes() == CONTENT


def test_download_weights_names_the_cache_folder_when_offline(server_url: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        download_weights(create_published_weights("http://127.0.0.1:1/net.pth"))
    assert f"Put the file into {tmp_path / 'home' / 'hub' / 'checkpoints'} by hand" in str(caught.value)
    assert "--model.backbone.weights FILE" in str(caught.value)


def test_download_weights_detects_a_damaged_cache_file(server_url: str) -> None:
    path = download_weights(create_published_weights(f"{server_url}/net.pth"))
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(InputError, match=f"sha256 of .* that begins with {DIGEST}"):
        download_weights(create_published_weights(f"{server_url}/net.pth"))


def test_published_weights_have_their_checksum_in_their_name() -> None:
    assert len(PUBLISHED) == 4
    for (_, weights), file in PUBLISHED.items():
        assert file.sha256 in file.file_name
        assert file.preprocessing == weights
        assert preprocessing_of(Path(file.file_name)) == weights
        assert all(address.startswith("https://") for address in file.urls)


def test_read_tensors_reads_selected_tensors_in_float32(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save({"a": torch.ones(2, dtype=torch.float16), "b": torch.ones(3)}, path)
    actual = read_tensors(path, {"a"}.__contains__)
    assert list(actual) == ["a"]
    assert actual["a"].dtype == torch.float32


def test_read_tensors_reads_files_of_old_torch(tmp_path: Path) -> None:
    path = tmp_path / "old.pth"
    torch.save({"a": torch.ones(2)}, path, _use_new_zipfile_serialization=False)
    assert torch.equal(read_tensors(path, lambda name: True)["a"], torch.ones(2))


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_read_tensors_rejects_other_files(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"hello")
    with pytest.raises(InputError, match=f"Expected weights in .*{name}"):
        read_tensors(path, lambda name: True)
    with pytest.raises(InputError, match="there is none at"):
        read_tensors(tmp_path / "nowhere.pth", lambda name: True)


def test_read_tensors_does_not_execute_pickled_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (print, ("run",))

    path = tmp_path / "evil.pth"
    torch.save({"a": Evil()}, path)
    with pytest.raises(InputError, match=r"Expected weights in .*evil\.pth"):
        read_tensors(path, lambda name: True)

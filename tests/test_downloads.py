"""Downloads, from a server on this machine: whole, or not at all."""

import hashlib
import http.server
import io
import socket
import threading
import time

import pytest
import torch
import torchvision
from pictures import PICTURES
from test_model import randomised
from test_weights import assert_same

from effnet_lib import DownloadError, WeightsError, build_model, releases
from effnet_lib.cli import main
from effnet_lib.releases import download, weights_folder


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves ``content`` as the first part of the path says."""

    content = b""
    asked = 0

    def do_GET(self):
        type(self).asked += 1
        kind, half = self.path.split("/")[1], self.content[: len(self.content) // 2]
        if kind == "404":
            return self.send_error(404)
        if kind == "500":
            return self.send_error(500)
        if kind == "redirect":
            self.send_response(302)
            self.send_header("Location", self.path.replace("redirect", "whole"))
            return self.end_headers()
        if kind == "close":  # without a word
            return self.connection.close()
        if kind == "nonsense":
            return self.wfile.write(b"this is not HTTP\r\n\r\n")
        self.send_response(200)
        body = {"midway": half, "silent": half, "stall": half, "hash": half + half, "page": b"<html>log in</html>"}
        body = body.get(kind, self.content)
        if kind != "silent":  # silent: the length is not told, so that only the hash can tell
            self.send_header("Content-Length", str(len(self.content if kind in ("midway", "stall") else body)))
        self.end_headers()
        self.wfile.write(body)
        if kind == "stall":
            self.wfile.flush()
            time.sleep(2)

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def reference():
    with torch.device("meta"):
        model = torchvision.models.efficientnet_b0()
    return randomised(model)


@pytest.fixture
def server(reference, monkeypatch, tmp_path):
    """Torchvision's address of B0 leads here: ``server(kind)`` chooses how it behaves."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    buffer = io.BytesIO()
    torch.save(reference.state_dict(), buffer)
    content = buffer.getvalue()
    handler = type("H", (Handler,), {"content": content, "asked": 0})
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    member = torchvision.models.EfficientNet_B0_Weights.DEFAULT
    digits = hashlib.sha256(content).hexdigest()[:8]

    def behave(kind: str, port: int = httpd.server_port) -> str:
        url = f"http://127.0.0.1:{port}/{kind}/efficientnet_b0-{digits}.pth"
        monkeypatch.setattr(member.value, "url", url)
        return url

    behave.handler = handler
    yield behave
    httpd.shutdown()
    httpd.server_close()


@pytest.mark.parametrize("kind", ["whole", "redirect"])
def test_a_download_is_used_and_kept(server, kind, reference):
    server(kind)
    model = build_model("b0", weights="torchvision")
    assert_same(model, reference)
    assert model.weights.preprocessing.crop == 224 and model.weights.top1 == 77.692
    assert [path.suffix for path in weights_folder().iterdir()] == [".pth"]
    asked = server.handler.asked
    build_model("b0", weights="torchvision:IMAGENET1K_V1")
    build_model(weights=torchvision.models.EfficientNet_B0_Weights.DEFAULT)
    assert server.handler.asked == asked  # from the cache


BROKEN = [
    ("404", "HTTP status 404"),
    ("500", "HTTP status 500"),
    ("close", "closed connection without response|reset"),
    ("nonsense", "not HTTP|BadStatusLine"),
    ("midway", r"the connection ended after [\d,]+ (of [\d,]+ )?bytes"),
    ("silent", "its SHA-256 begins with"),
    ("hash", "its SHA-256 begins with"),
    ("page", "its SHA-256 begins with"),
    ("stall", "no answer for 0.3 seconds"),
]


@pytest.mark.parametrize("kind, message", BROKEN)
def test_nothing_damaged_stays(server, kind, message, monkeypatch, capsys, reference):
    monkeypatch.setattr(releases, "TIMEOUT", 0.3)
    url = server(kind)
    with pytest.raises(DownloadError, match=message) as caught:
        build_model("b0", weights="torchvision")
    place = weights_folder() / url.rpartition("/")[2]
    assert url in str(caught.value) and f"put it at {place}" in str(caught.value)
    assert not list(weights_folder().iterdir())
    status = main(["classify", str(PICTURES["coffee"]), "--weights", "torchvision", "--variant", "b0"])
    out, err = capsys.readouterr()
    assert (status, out, err.count("\n")) == (1, "", 1) and err.startswith("effnet classify: error: cannot download")
    arguments = ["--recipe", "fine_tune", "--data", "digits", "--weights", "torchvision", "--variant", "b0"]
    assert main(["train", *arguments, "--output", str(weights_folder().parent / "run")]) == 1
    assert "cannot download" in capsys.readouterr().err
    place.write_bytes(server.handler.content)  # by hand, as the message says
    assert_same(build_model("b0", weights="torchvision"), reference)
    server("whole")
    place.unlink()
    assert_same(build_model("b0", weights="torchvision"), reference)  # and a later try succeeds


def test_no_server_and_no_such_host(server):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server("whole", port)
    with pytest.raises(DownloadError, match="Connection refused"):
        build_model("b0", weights="torchvision")
    with pytest.raises(DownloadError, match="cannot download http://no-such-host.invalid/x-12345678.pth"):
        download("http://no-such-host.invalid/x-12345678.pth", "12345678")
    assert not list(weights_folder().iterdir())


def test_a_damaged_file_in_the_cache(server):
    url = server("whole")
    build_model("b0", weights="torchvision")
    place = weights_folder() / url.rpartition("/")[2]
    content = bytearray(place.read_bytes())
    content[len(content) // 2] ^= 1
    place.write_bytes(content)
    with pytest.raises(WeightsError, match=f"{place} is damaged.*SHA-256.*delete it, and try again"):
        build_model("b0", weights="torchvision")
    with pytest.raises(WeightsError, match="SHA-256 begins with"):
        place.write_bytes(server.handler.content)
        build_model("b0", weights="torchvision", sha256="0" * 64)


def test_a_cache_that_cannot_be_written(server, monkeypatch, tmp_path):
    server("whole")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "file"))
    with pytest.raises(DownloadError, match="cannot keep .*: (Not a directory|File exists). .*TORCH_HOME"):
        build_model("b0", weights="torchvision")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))

    def full(*arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(releases.os, "replace", full)
        with pytest.raises(DownloadError, match="cannot keep .*: No space left on device. .*TORCH_HOME"):
            build_model("b0", weights="torchvision")
    assert not list(weights_folder().iterdir())
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "room"))
    build_model("b0", weights="torchvision")  # as the message advises


def test_a_released_file_by_its_path_is_recognised(server, reference, tmp_path):
    """A file that somebody fetched by hand: its name and hash say which it is."""
    url = server("whole")
    path = tmp_path / url.rpartition("/")[2]
    path.write_bytes(server.handler.content)
    model = build_model(weights=path)
    assert model.weights.name == "torchvision:efficientnet_b0.IMAGENET1K_V1" and model.weights.categories[0] == "tench"
    assert build_model(weights=path.rename(tmp_path / "other.pth")).weights.preprocessing is None


def test_timm_by_its_address_and_by_the_hub(server, monkeypatch, tmp_path):
    import dataclasses

    import huggingface_hub
    import safetensors.torch
    import timm

    with torch.device("meta"):
        theirs = timm.create_model("tf_efficientnet_b0")
    buffer = io.BytesIO()
    torch.save(randomised(theirs).state_dict(), buffer)
    server.handler.content = buffer.getvalue()
    digits = hashlib.sha256(buffer.getvalue()).hexdigest()[:8]
    url = server("whole").rpartition("/")[0] + f"/tf_efficientnet_b0_in1k-{digits}.pth"
    real = releases._timm_configs

    def redirected():
        configs = real()
        for name in ("tf_efficientnet_b0.in1k", "tf_efficientnet_b0.aa_in1k"):
            address = url if name.endswith("b0.in1k") else ""
            configs[name] = dataclasses.replace(configs[name], url=address)
        return configs

    monkeypatch.setattr(releases, "_timm_configs", redirected)
    model = build_model("b0", weights="timm:in1k")
    assert model.padding == "same" and model.weights.name == "timm:tf_efficientnet_b0.in1k"
    assert_same(model, theirs)

    safetensors.torch.save_file(theirs.state_dict(), tmp_path / "model.safetensors")
    asked = []

    def hub(repository, name):
        asked.append((repository, name))
        return str(tmp_path / "model.safetensors")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hub)
    assert_same(build_model(weights="timm:tf_efficientnet_b0.aa_in1k"), theirs)
    assert asked == [("timm/tf_efficientnet_b0.aa_in1k", "model.safetensors")]

    def fail(repository, name):
        raise OSError("no route to host\nand more")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    with pytest.raises(DownloadError, match="no route to host. Check the network.*give its path as weights"):
        build_model(weights="timm:tf_efficientnet_b0.aa_in1k")

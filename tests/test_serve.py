"""The small server of `make serve`: right bytes, compressed where that helps."""

import functools
import gzip
import http.client
import http.server
import threading

import pytest

from tools.serve import Handler


@pytest.fixture
def ask(tmp_path):
    (tmp_path / "index.html").write_text("<p>φ</p>" * 100, encoding="utf-8")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "index.html").write_text("inside")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG" * 10)
    handler = functools.partial(Handler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()

        def ask(path, encoding="gzip", method="GET"):
            connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
            connection.request(method, path, headers={"Accept-Encoding": encoding})
            response = connection.getresponse()
            return response.status, dict(response.headers), response.read()

        yield ask
        server.shutdown()


def test_text_is_compressed(ask):
    for path in ("/", "/index.html", "/index.html?x=1"):
        status, headers, body = ask(path)
        assert (status, headers["Content-Encoding"]) == (200, "gzip")
        assert int(headers["Content-Length"]) == len(body) < 200
        assert gzip.decompress(body).decode() == "<p>φ</p>" * 100
    assert ask("/", method="HEAD")[2] == b""


def test_what_is_not_text_or_not_asked_for_compressed_goes_as_it_is(ask):
    assert "Content-Encoding" not in ask("/picture.png")[1]
    assert ask("/index.html", encoding="")[2].decode() == "<p>φ</p>" * 100


def test_a_rebuilt_page_is_another(ask, tmp_path):
    ask("/index.html")
    (tmp_path / "index.html").write_text("new")
    assert gzip.decompress(ask("/index.html")[2]) == b"new"


def test_folders_and_missing_pages(ask):
    assert ask("/folder")[0] == 301
    assert gzip.decompress(ask("/folder/")[2]) == b"inside"
    assert ask("/nowhere.html")[0] == 404
    assert ask("/../../etc/hostname")[0] == 404

"""Serve the built book on this machine alone, on port 8000 or the next that is free.

Text goes out compressed, as a real server would send it.
"""

import functools
import gzip
import http.server
import io
import sys
from email.utils import formatdate
from pathlib import Path

from tools.progress import ROOT


COMPRESSED = {".html", ".css", ".js", ".svg", ".json", ".txt"}


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        """Not a line for every file."""

    def send_error(self, code, message=None, explain=None):
        """A missing page gets the book's own, as on GitHub Pages."""
        page = Path(self.directory) / "404.html"
        if code != 404 or not page.is_file():
            return super().send_error(code, message, explain)
        body = page.read_bytes()
        self.send_response(404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_head(self):
        path = Path(self.translate_path(self.path))
        if path.is_dir() and self.path.split("?")[0].endswith("/"):
            path = path / "index.html"
        wanted = "gzip" in self.headers.get("Accept-Encoding", "")
        if not wanted or path.suffix not in COMPRESSED or not path.is_file():
            return super().send_head()  # redirects, errors, and what is compressed already
        body = _gzipped(path, path.stat().st_mtime_ns)
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(str(path)))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Last-Modified", formatdate(path.stat().st_mtime, usegmt=True))
        self.send_header("Vary", "Accept-Encoding")
        self.end_headers()
        return io.BytesIO(body)


@functools.lru_cache(maxsize=256)
def _gzipped(path, changed):
    """The file, compressed; ``changed`` makes a rebuilt file another one."""
    return gzip.compress(path.read_bytes())


def main():
    handler = functools.partial(Handler, directory=str(ROOT / "_build" / "html"))
    for port in range(8000, 8100):
        try:
            server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
        except OSError:
            continue
        print(f"The book is at http://127.0.0.1:{port}/ until you press Ctrl-C", flush=True)
        return server.serve_forever()
    sys.exit("Every port from 8000 to 8099 is taken: end one of the other servers")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print()

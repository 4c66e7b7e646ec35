"""Serve the built book on this machine alone, on port 8000 or the next that is free."""

import functools
import http.server
import sys

from tools.progress import ROOT


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        """Not a line for every file."""


def main():
    handler = functools.partial(Quiet, directory=str(ROOT / "_build" / "html"))
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

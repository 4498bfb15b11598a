"""A model's server that answers each CSV record x, y, z with x * y + 2 * z, in the container contract.

It counts on standard error how many records each call had, and refuses more than FAKE_TAKES at a time.
"""

import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

TAKES = int(os.environ.get("FAKE_TAKES", "1000000"))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.answer(200, b"")

    def do_POST(self):
        lines = self.rfile.read(int(self.headers["content-length"])).decode().splitlines()
        print(f"{len(lines)} records", file=sys.stderr, flush=True)
        if len(lines) > TAKES:
            return self.answer(400, b"too many records")
        rows = [[float(cell) for cell in line.split(",")] for line in lines]
        self.answer(200, "".join(f"{x * y + 2 * z}\n" for x, y, z in rows).encode())

    def answer(self, status, body):
        self.send_response_only(status)
        self.send_header("content-type", "text/csv")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(HTTPServer):
    # Looking up its own name needs a name server.
    def server_bind(self):
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = self.server_address


Server(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler).serve_forever()

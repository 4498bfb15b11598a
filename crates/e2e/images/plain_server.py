"""Answers invocations with themselves; `look` with what the container may do, `reach HOST PORT` with whether it can.

With SICK set it says so and is never healthy; with SICK=exit it ends.
"""

import json
import os
import signal
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SICK = os.environ.get("SICK")


def can_write(folder):
    try:
        path = os.path.join(folder, "written")
        with open(path, "w") as file:
            file.write("x")
        os.remove(path)
        return True
    except OSError as error:
        return error.strerror


def look():
    with open("/proc/self/status") as file:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    beside = "/opt/ml/additional-model-data-sources"
    channels = sorted(os.listdir(beside)) if os.path.isdir(beside) else []
    folders = ["/tmp", "/etc", "/usr", "/opt/ml/model", *(f"{beside}/{channel}" for channel in channels)]
    return {
        "capabilities": status["CapEff"],
        "bounding": status["CapBnd"],
        "no_new_privileges": status["NoNewPrivs"],
        "writable": {folder: can_write(folder) for folder in folders},
        "processes": [name for name in os.listdir("/proc") if name.isdigit()],
        "environment": dict(os.environ),
        "model": sorted(os.listdir("/opt/ml/model")) if os.path.isdir("/opt/ml/model") else None,
        "channels": {channel: sorted(os.listdir(f"{beside}/{channel}")) for channel in channels},
        "docker_socket": os.path.exists("/var/run/docker.sock"),
        "arguments": sys.argv[1:],
    }


def reach(host, port):
    try:
        socket.create_connection((host, int(port)), timeout=3).close()
        return "reached"
    except OSError as error:
        return str(error)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body in one write, and none waits for the other's acknowledgement.
    wbufsize = 65536
    disable_nagle_algorithm = True

    def answer(self, status, body, content_type="application/octet-stream"):
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(503 if SICK else 200, b"")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if body == b"look":
            self.answer(200, json.dumps(look()).encode(), "application/json")
        elif body.startswith(b"reach "):
            self.answer(200, reach(*body.decode().split()[1:]).encode(), "text/plain")
        else:
            self.answer(200, body, self.headers["content-type"])

    def log_message(self, *_):
        pass


def main():
    if SICK:
        print("plain: the weights are corrupt", file=sys.stderr, flush=True)
    if SICK == "exit":
        sys.exit(3)
    # The first process of a container ignores what it does not handle.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    print("plain: serving", flush=True)
    ThreadingHTTPServer(("0.0.0.0", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler).serve_forever()


main()

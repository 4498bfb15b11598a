"""A model's server that speaks the container contract, and misbehaves when it is told to.

FAKE_START_DELAY_S, FAKE_NEVER (listens never), FAKE_DIE (says it and exits), FAKE_PING (status of /ping) set how it
starts. A body of one of the words below does what DEEDS says; any other body comes back as it was sent.
"""

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def attempt(deed, *arguments):
    try:
        return f"done: {deed(*arguments)!r}"[:200]
    except OSError as error:
        return f"{type(error).__name__}: errno {error.errno}"


def system_call(number, *arguments):
    result = ctypes.CDLL(None, use_errno=True).syscall(number, *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return result


def connect(host, port, kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as opened:
        opened.settimeout(1)
        opened.connect((host, port))


def read(path):
    with open(path, "rb") as file:
        return file.read(20)


def write(path):
    with open(path, "wb") as file:
        return file.write(b"x")


def escapes(parameters):
    """Every attempt to reach what a model has no business with."""
    parent = os.getppid()
    return {
        "shadow": attempt(read, "/etc/shadow"),
        "secret": attempt(read, parameters["secret"]),
        "list-secret": attempt(os.listdir, os.path.dirname(parameters["secret"])),
        "model-write": attempt(write, os.path.join(os.environ["SM_MODEL_DIR"], "new")),
        "usr-write": attempt(write, "/usr/new"),
        "etc-write": attempt(write, "/etc/new"),
        "tmp-write": attempt(write, "/tmp/captura-escape"),
        "parent-environment": attempt(read, f"/proc/{parent}/environ"),
        "parent-memory": attempt(read, f"/proc/{parent}/mem"),
        "kill-parent": attempt(os.kill, parent, 0),
        "ptrace": attempt(system_call, 101, 16, parent, 0, 0),
        "mount": attempt(system_call, 165, b"none", b"/mnt", b"tmpfs", 0, 0),
        "unshare": attempt(system_call, 272, 0x10000000),
        "bpf": attempt(system_call, 321, 0, 0, 0),
        "keyctl": attempt(system_call, 250, 0, 0, 0),
        "io_uring": attempt(system_call, 425, 1, 0),
        "userfaultfd": attempt(system_call, 323, 0),
        "perf": attempt(system_call, 298, 0, 0, -1, -1, 0),
        "setuid": attempt(os.setuid, 0),
        "setgroups": attempt(os.setgroups, [0]),
        "chroot": attempt(os.chroot, "/"),
        "raw-socket": attempt(connect, "127.0.0.1", 1, socket.SOCK_RAW),
        "packet-socket": attempt(socket.socket, 17, socket.SOCK_RAW),
        "udp": attempt(connect, "127.0.0.1", 53, socket.SOCK_DGRAM),
        "metadata": attempt(connect, "169.254.169.254", 80),
        "server": attempt(connect, "127.0.0.1", parameters["port"]),
        "bind": attempt(lambda: socket.create_server(("127.0.0.1", 0))),
        "mknod": attempt(os.mknod, "device", 0o600 | 0o020000, os.makedev(1, 1)),
        "chown": attempt(os.chown, ".", 0, 0),
        "swapoff": attempt(system_call, 168, b"/none"),
        "hostname": attempt(socket.sethostname, "x"),
        "clock": attempt(time.clock_settime, time.CLOCK_REALTIME, time.time()),
    }


def stray(_):
    """A child in a session of its own, which outlives whoever does not look for it."""
    return subprocess.Popen(["sleep", "1000"], start_new_session=True).pid


def status(_):
    with open("/proc/self/status") as file:
        wanted = ("Uid", "NoNewPrivs", "Seccomp", "CapEff")
        return {key: value.split() for key, value in (line.split(":", 1) for line in file) if key in wanted}


def bomb(_):
    """Children until there may be no more, and why not."""
    children = []
    try:
        while len(children) < 5_000:
            child = os.fork()
            if child == 0:
                time.sleep(1_000)
                os._exit(0)
            children.append(child)
        return [len(children), "no end"]
    except OSError as error:
        return [len(children), error.errno]
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def hoard(_):
    """Open files until there may be no more, and why not."""
    files = []
    try:
        while len(files) < 1_000_000:
            files.append(os.open("/dev/null", os.O_RDONLY))
        return [len(files), "no end"]
    except OSError as error:
        return [len(files), error.errno]
    finally:
        for file in files:
            os.close(file)


def fill(parameters):
    """Writes so many bytes into a file of its own."""
    with open("filled", "wb", buffering=0) as file:
        for _ in range(parameters["bytes"] // (1 << 20)):
            file.write(bytes(1 << 20))
    return os.path.getsize("filled")


def stretch(parameters):
    with open("stretched", "wb") as file:
        os.ftruncate(file.fileno(), parameters["bytes"])


DEEDS = {
    "environment": lambda _: dict(os.environ),
    "pid": lambda _: os.getpid(),
    "folder": lambda _: os.getcwd(),
    "model": lambda _: {name: attempt(read, os.path.join(os.environ["SM_MODEL_DIR"], name)) for name in sorted(os.listdir(os.environ["SM_MODEL_DIR"]))},
    "descriptors": lambda _: sorted(attempt(os.readlink, f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")),
    "status": status,
    "stray": stray,
    "escapes": escapes,
    "allocate": lambda parameters: len(bytearray(parameters["bytes"])),
    "own-write": lambda _: write("mine"),
    "bomb": bomb,
    "hoard": hoard,
    "fill": lambda parameters: attempt(fill, parameters),
    "stretch": lambda parameters: attempt(stretch, parameters),
}


# Content of the loaded models, by their names.
MODELS = {}
# Most that are loaded at the same time.
MODELS_MAX = 1


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.answer(int(os.environ.get("FAKE_PING", "200")), b"")

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path == "/models":
            return self.load(**json.loads(body))
        if self.path.startswith("/models/"):
            name = self.path.split("/")[2]
            return self.answer(200, json.dumps([MODELS[name], body.decode()]).encode(), "application/json")
        word, _, rest = body.decode("utf-8", "replace").partition(" ")
        if word == "exit":
            print("told to exit", file=sys.stderr, flush=True)
            os._exit(3)
        if word == "garbage":
            self.wfile.write(b"\x00\xff this is no HTTP \r\n\r\n")
            self.wfile.flush()
            self.close_connection = True
            return
        if word == "sleep":
            time.sleep(float(rest))
        if word == "ignore-ping":
            os.environ["FAKE_PING"] = "500"
        if word == "stream":
            return self.stream(rest)
        if word == "flood":
            sys.stdout.write("flood " * 100 + "\n")
            for _ in range(int(rest)):
                sys.stdout.write("0123456789" * 50 + "\n")
            sys.stdout.flush()
        if word in DEEDS:
            deed = DEEDS[word](json.loads(rest) if rest else {})
            return self.answer(200, json.dumps(deed).encode(), "application/json")
        self.answer(200, body, self.headers.get("content-type"))

    def do_DELETE(self):
        self.answer(200 if MODELS.pop(self.path.split("/")[2], None) else 404, b"")

    def load(self, model_name, url):
        if model_name in MODELS:
            return self.answer(409, b"loaded already")
        if len(MODELS) >= MODELS_MAX:
            return self.answer(507, b"no memory left")
        MODELS[model_name] = read(os.path.join(url, "weights")).decode()
        self.answer(200, b"")

    def stream(self, pieces):
        self.send_response(200)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for piece in pieces.split():
            self.wfile.write(f"{len(piece):x}\r\n{piece}\r\n".encode())
            self.wfile.flush()
            time.sleep(0.05)
        self.wfile.write(b"0\r\n\r\n")

    def answer(self, status, body, content_type=None):
        self.send_response_only(status)
        if content_type:
            self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    # Looking up its own name needs a name server.
    def server_bind(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = self.server_address


def main():
    print("starting", file=sys.stderr, flush=True)
    if "FAKE_IGNORE_TERM" in os.environ:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "FAKE_DIE" in os.environ:
        sys.exit(os.environ["FAKE_DIE"])
    time.sleep(float(os.environ.get("FAKE_START_DELAY_S", "0")))
    if "FAKE_NEVER" in os.environ:
        time.sleep(1_000_000)
    port = int(os.environ["SAGEMAKER_BIND_TO_PORT"])
    Server(("127.0.0.1", port), Handler).serve_forever()


main()

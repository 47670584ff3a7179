#!/usr/bin/env bash
# FFmpeg 8.1's WHIP muxer, as the wheel of PyAV 18.1.0 has it, and a server that answers with two candidates.
#
# A good guess: a publisher by WHIP has an ICE agent, which checks every candidate of the answer and uses the best
# that responds (RFC 8445 section 6.1.4); a server may list its addresses in any order, since candidates carry priorities.
#
# Seen instead: only the candidate that is written first in the answer is ever sent a check. The second gets none, though
# it has the higher priority and the first stays silent until the muxer gives up.
# And of the stream that it names for retransmissions (a=ssrc-group:FID) the offer has no a=ssrc line.
# So a server writes the address that is most likely to be reached first in every section, UDP before TCP, and takes an
# SSRC from the group alone.
#
# Takes half a minute. Needs Python 3 with venv, and openssl (the muxer is given a certificate with a P-256 key). The
# server is the script's own: it answers the offer and counts what comes to its two sockets on loopback.
# Output as seen (numbers of checks vary; the muxer ends with a timeout, as it must):
#   written first, priority 100: 73 checks; written second, priority 2130706431: 0 checks
#   streams in the group: 2; of those with an a=ssrc line: 1
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/v"
"$folder/v/bin/pip" install --quiet --disable-pip-version-check av==18.1.0
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=client \
  -keyout "$folder/key.pem" -out "$folder/certificate.pem" 2> /dev/null

cat > "$folder/publish.py" <<'PY'
import sys

import av

url, certificate, key = sys.argv[1:]
options = {"cert_file": certificate, "key_file": key, "handshake_timeout": "4000"}
with av.open(url, "w", format="whip", options=options) as container:
    video = container.add_stream("libx264", rate=15)
    video.width, video.height, video.pix_fmt = 320, 240, "yuv420p"
    video.options = {"preset": "ultrafast", "tune": "zerolatency", "profile": "baseline"}
    container.add_stream("libopus", rate=48_000, layout="stereo")
    container.start_encoding()
PY

cat > "$folder/run.py" <<'PY'
import pathlib
import re
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

FOLDER = pathlib.Path(__file__).parent
PRIORITIES = [100, 2_130_706_431]
STUN_BINDING = b"\0\1"
SECTION = re.compile(r"(?m)^(?=m=)")


def bound():
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.bind(("127.0.0.1", 0))
    one.setblocking(False)
    return one


def answer(offer):
    """One that takes all that is offered."""
    sections = SECTION.split(offer)[1:]
    mids = [re.search(r"a=mid:(\S+)", section).group(1) for section in sections]
    lines = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=ice-lite", "a=group:BUNDLE " + " ".join(mids)]
    for section, mid in zip(sections, mids):
        kind, protocol, payload_type = re.match(r"m=(\w+) \d+ (\S+) (\d+)", section).groups()
        lines += [f"m={kind} 9 {protocol} {payload_type}", "c=IN IP4 0.0.0.0", f"a=mid:{mid}", "a=recvonly"]
        lines += re.findall(rf"(?m)^(a=rtpmap:{payload_type} [^\r\n]*)", section)
        lines += ["a=rtcp-mux", "a=ice-ufrag:server01", "a=ice-pwd:passwordpasswordpassword", "a=setup:active"]
        lines += ["a=fingerprint:sha-256 " + ":".join(["AB"] * 32)]
        for number, (one, priority) in enumerate(zip(SOCKETS, PRIORITIES), 1):
            lines += [f"a=candidate:{number} 1 udp {priority} 127.0.0.1 {one.getsockname()[1]} typ host"]
    return "".join(line + "\r\n" for line in lines).encode()


class Server(BaseHTTPRequestHandler):
    def reply(self, status, body=b""):
        self.send_response(status)
        self.send_header("Content-Type", "application/sdp")
        self.send_header("Location", "/session")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        OFFERS.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.reply(201, answer(OFFERS[-1]))

    def do_DELETE(self):
        self.reply(200)

    def log_message(self, *arguments):
        pass


def checks(one):
    count = 0
    while True:
        try:
            count += one.recv(2_000).startswith(STUN_BINDING)
        except BlockingIOError:
            return count


OFFERS = []
SOCKETS = [bound(), bound()]
server = HTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/whip"
command = [sys.executable, FOLDER / "publish.py", url, FOLDER / "certificate.pem", FOLDER / "key.pem"]
ended = subprocess.run(command, capture_output=True, text=True, timeout=40)
first, second = map(checks, SOCKETS)
shown = [f"priority {priority}: {count} checks" for priority, count in zip(PRIORITIES, (first, second))]
print(f"written first, {shown[0]}; written second, {shown[1]}")
group = re.search(r"a=ssrc-group:FID (\d+) (\d+)", OFFERS[0]).groups()
told = [ssrc for ssrc in group if f"a=ssrc:{ssrc} " in OFFERS[0]]
print(f"streams in the group: {len(group)}; of those with an a=ssrc line: {len(told)}")
if ended.returncode == 0 or first < 2 or second != 0 or told != [group[0]]:
    sys.exit("FFmpeg behaves otherwise than described above: " + ended.stderr)
PY
timeout 90 "$folder/v/bin/python" "$folder/run.py"

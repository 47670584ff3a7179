"""Publishes moving pictures and a tone (H.264, Opus) by WHIP with FFmpeg's own muxer, as PyAV's wheel has it.

    ffmpeg_publish.py URL

FFmpeg is given a certificate with a P-256 key: what it makes by itself is on another curve. Prints `publishing` once
the connection stands, then a line of JSON twice a second: what has been sent, by kind. When its standard input ends,
it ends the session, prints `ended` and ends.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

import av

import pictures


def certificate(folder):
    """Files with a certificate and its key."""
    files = {"cert_file": str(folder / "cert.pem"), "key_file": str(folder / "key.pem")}
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=client"
    make = [*make.split(), "-keyout", files["key_file"], "-out", files["cert_file"]]
    subprocess.run(make, check=True, capture_output=True)
    return files


def publish(url, options, over):
    with av.open(url, "w", format="whip", options=options) as container:
        video = container.add_stream("libx264", rate=pictures.RATE)
        video.width, video.height, video.pix_fmt = pictures.WIDTH, pictures.HEIGHT, "yuv420p"
        quick = {"preset": "ultrafast", "tune": "zerolatency", "profile": "baseline"}
        video.options = {**quick, "g": str(2 * pictures.RATE)}
        video.bit_rate = 200_000
        audio = container.add_stream("libopus", rate=pictures.SAMPLE_RATE, layout="stereo")
        resampler = av.AudioResampler("s16", "stereo", pictures.SAMPLE_RATE)
        sent = {"audio": 0, "video": 0}
        container.start_encoding()
        print("publishing", flush=True)
        began = time.monotonic()
        told = 0
        while not over.is_set():
            passed = time.monotonic() - began
            while sent["video"] <= passed * pictures.RATE:
                container.mux(video.encode(pictures.picture(sent["video"])))
                sent["video"] += 1
            while sent["audio"] <= passed * pictures.SAMPLE_RATE / pictures.SAMPLES:
                for frame in resampler.resample(pictures.sound(sent["audio"])):
                    container.mux(audio.encode(frame))
                sent["audio"] += 1
            if passed >= told / 2:
                print(json.dumps({"sent": sent}), flush=True)
                told += 1
            time.sleep(0.01)
    print("ended", flush=True)


def main():
    (url,) = sys.argv[1:]
    over = threading.Event()

    def listen():
        sys.stdin.read()
        over.set()

    threading.Thread(target=listen, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        publish(url, certificate(pathlib.Path(folder)), over)


main()

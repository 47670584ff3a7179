"""Publishes moving pictures and a tone (H.264, Opus) by WHIP with FFmpeg's own muxer, as PyAV's wheel has it.

    ffmpeg_publish.py URL

The certificate is FFmpeg's own, whose key this build draws on the curve P-224. Prints `publishing` once the connection
stands, then a line of JSON twice a second: what has been sent, by kind. When its standard input ends, it ends the
session, prints `ended` and ends.
"""

import json
import sys
import threading
import time

import av

import pictures


def publish(url, over):
    with av.open(url, "w", format="whip") as container:
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
    publish(url, over)


main()

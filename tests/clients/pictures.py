"""A slope of grey that moves, and a tone: what the clients with PyAV publish."""

import fractions

import av

WIDTH, HEIGHT, RATE = 320, 240, 15
SAMPLE_RATE, SAMPLES = 48_000, 960
PLANES = [bytes((x + y) % 256 for x in range(WIDTH)) for y in range(512)]
# 500 Hz, square: 48 samples up, 48 down.
WAVE = b"\0\x20" * 48 + b"\0\xe0" * 48


def picture(count):
    """The picture of this number, on the clock of RTP."""
    frame = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
    # The chroma stays in the middle.
    shift = 4 * (count + 1) % 256
    stride = frame.planes[0].line_size
    frame.planes[0].update(b"".join(row.ljust(stride, b"\0") for row in PLANES[shift : shift + HEIGHT]))
    for plane in frame.planes[1:]:
        plane.update(bytes([100 + (count + 1) % 56]) * plane.buffer_size)
    frame.pts = count * 90_000 // RATE
    frame.time_base = fractions.Fraction(1, 90_000)
    return frame


def sound(count):
    """20 ms of the tone."""
    frame = av.AudioFrame(format="s16", layout="mono", samples=SAMPLES)
    frame.planes[0].update(WAVE * (SAMPLES // 96))
    frame.sample_rate = SAMPLE_RATE
    frame.pts = count * SAMPLES
    frame.time_base = fractions.Fraction(1, SAMPLE_RATE)
    return frame

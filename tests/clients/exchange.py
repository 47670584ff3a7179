"""Offers and answers by WHIP (RFC 9725) and WHEP, as a client sees them: a POST, a session to DELETE."""

import time
import urllib.error
import urllib.parse
import urllib.request

PATIENCE = 15


def request(url, method, body=None, headers=None):
    asked = urllib.request.Request(url, data=body, method=method, headers=headers or {})
    return urllib.request.urlopen(asked, timeout=10)


def exchange(url, offer):
    """Sends the offer: the answer's SDP, and the URL of the session. Asks again while nobody publishes yet."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            with request(url, "POST", offer.encode(), {"Content-Type": "application/sdp"}) as response:
                if response.status != 201:
                    raise RuntimeError(f"status {response.status} where 201 was meant")
                if response.headers.get_content_type() != "application/sdp":
                    raise RuntimeError(f"the answer is {response.headers.get_content_type()}")
                session = urllib.parse.urljoin(url, response.headers["Location"])
                return response.read().decode(), session
        except urllib.error.HTTPError as error:
            wait = error.headers.get("Retry-After")
            if error.code != 409 or wait is None or time.monotonic() > until:
                raise RuntimeError(f"POST {url}: {error.code} {error.read().decode(errors='replace')}") from error
            time.sleep(min(1.0, float(wait)))


def end(session):
    """Ends a session."""
    with request(session, "DELETE") as response:
        return response.status

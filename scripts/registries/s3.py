#!/usr/bin/env python3
"""An S3 server in memory, for tests: `s3.py PORT`. Any credentials will do.

It is moto's, with one request at a time. Moto looks whether an object is there and then writes it: of two writers that
ask for "only if there is none" at once, both could win.
"""

import io
import sys
import threading

from moto.moto_server.werkzeug_app import MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server


def main(port):
    app = create_backend_app("s3")
    app.debug = False
    make_server("127.0.0.1", port, OneAtATime(app), threaded=True, request_handler=Quiet).serve_forever()


class OneAtATime:
    """Answers each request as if there were no other. Who sends or reads slowly holds up nobody."""

    def __init__(self, app):
        self.app = app
        self.turn = threading.Lock()

    def __call__(self, environ, start_response):
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        with self.turn:
            return list(self.app(environ, start_response))


class Quiet(MotoRequestHandler):
    def log_request(self, *_):
        pass


if __name__ == "__main__":
    main(int(sys.argv[1]))

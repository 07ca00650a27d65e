"""moto's S3, one request at a time, so that its conditional writes are atomic (by itself it compares, and then writes), and with faults on demand.

Arguments: address, port, the file that says what is to go wrong (JSON, see moto.rs), and perhaps a certificate and its key.
"""

import io
import json
import logging
import os
import socket
import sys
import threading
import time

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

address, port, fault_path, *tls = sys.argv[1:]
moto = DomainDispatcherApplication(create_backend_app)
one_at_a_time = threading.Lock()
counted = {"fault": None, "times": 0}


def fault_of(method):
    """What is to go wrong with this request, if anything is."""
    try:
        written = os.stat(fault_path).st_mtime_ns
        with open(fault_path, encoding="utf-8") as file:
            fault = json.load(file)
    except FileNotFoundError:
        return {}
    if method not in fault.get("methods", [method]):
        return {}
    with one_at_a_time:
        if counted["fault"] != written:
            counted.update(fault=written, times=0)
        counted["times"] += 1
        return fault if counted["times"] <= fault.get("times", sys.maxsize) else {}


def answer_of_moto(environ):
    head = []

    def start(status, headers, exc_info=None):
        head[:] = [status, headers]

    with one_at_a_time:
        body = b"".join(moto(environ, start))
    return *head, body


def serve(environ, start_response):
    method = environ["REQUEST_METHOD"]
    length = int(environ.get("CONTENT_LENGTH") or 0)
    environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(length))
    fault = fault_of(method)
    time.sleep(fault.get("delay_ms", 0) / 1000)
    status, headers, body = None, None, None
    is_wrong = "status" in fault or fault.get("drop")
    if not is_wrong or fault.get("done"):
        status, headers, body = answer_of_moto(environ)
    if "status" in fault:
        code = fault.get("code", "")
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>on demand</Message></Error>".encode() if code else b""
        status, headers = f"{fault['status']} On Demand", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))]
    query = environ.get("QUERY_STRING", "")
    with one_at_a_time:
        print("REQUEST", method, environ["PATH_INFO"], query or "-", "dropped" if fault.get("drop") else status.split()[0], flush=True)
    if fault.get("drop"):
        environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        status, headers, body = "200 OK", [], b""
    start_response(status, headers)
    return [body]


logging.getLogger("werkzeug").setLevel(logging.ERROR)
run_simple(address, int(port), serve, threaded=True, ssl_context=tuple(tls) or None)

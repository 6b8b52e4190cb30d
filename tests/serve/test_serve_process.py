"""The server as a process: other programs' clients, reloading under load, and how it ends."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import threading
import time

import numpy as np
import pytest
from serving import PICTURES, in_bytes, logits_of, running, write_model


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A server with a model: its address, the file, the classifier."""
    path = tmp_path_factory.mktemp("served") / "net.onnx"
    classifier = write_model(path)
    with running(path, "--max-batch", 8) as (_, address):
        yield address, path, classifier


def ask(address, pictures=PICTURES[:1], name="net"):
    """The status of an inference, over a connection of its own."""
    body, headers = in_bytes(pictures)
    connection = http.client.HTTPConnection(address, timeout=20)
    try:
        connection.request("POST", f"/v2/models/{name}/infer", body, headers)
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


def test_tritons_client(served):
    triton = pytest.importorskip("tritonclient.http")
    address, _, classifier = served
    with triton.InferenceServerClient(address) as client:
        assert client.is_server_live() and client.is_server_ready()
        assert client.is_model_ready("net") and not client.is_model_ready("other")
        assert client.get_model_metadata("net")["outputs"][0]["name"] == "logits"
        assert client.get_model_repository_index()[0]["state"] == "READY"
        wanted = logits_of(classifier, PICTURES)
        for binary in (True, False):
            given = triton.InferInput("input", list(PICTURES.shape), "FP32")
            given.set_data_from_numpy(PICTURES, binary_data=binary)
            output = triton.InferRequestedOutput("logits", binary_data=binary)
            found = client.infer("net", [given], outputs=[output], request_id="7")
            np.testing.assert_allclose(found.as_numpy("logits"), wanted, rtol=1e-4, atol=1e-5)
            assert found.get_response()["id"] == "7"


def test_clients_that_dawdle_or_leave_block_nobody(served):
    address = served[0]
    host, _, port = address.partition(":")
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
    slow = [socket.create_connection((host, int(port)), 10) for _ in range(20)]
    try:
        for i, connection in enumerate(slow):
            connection.sendall(head + b"Content-Length: 1000\r\n\r\nx" if i % 2 else head[:20])
        start = time.monotonic()
        assert ask(address) == 200
        assert time.monotonic() - start < 5
    finally:
        for connection in slow:
            connection.close()
    assert ask(address) == 200


def test_reloading_drops_no_request(served):
    address, path, _ = served
    statuses, done = [], threading.Event()

    def client():
        while not done.is_set():
            statuses.append(ask(address))

    threads = [threading.Thread(target=client) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for seed in range(3):
            write_model(path, seed)
            connection = http.client.HTTPConnection(address, timeout=60)
            connection.request("POST", "/v2/repository/models/net/load")
            assert connection.getresponse().status == 200
            connection.close()
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert len(statuses) > 20 and set(statuses) == {200}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_all_is_answered(tmp_path, number):
    path = tmp_path / "net.onnx"
    write_model(path)
    with running(path, "--max-wait", 700) as (process, address):
        statuses = []
        threads = [threading.Thread(target=lambda: statuses.append(ask(address))) for _ in range(5)]
        for thread in threads:
            thread.start()
        time.sleep(0.3)  # they wait for others
        process.send_signal(number)
        for thread in threads:
            thread.join()
        assert statuses == [200] * 5
        assert process.wait(20) == 0


def test_files_that_are_no_models(tmp_path, capsys):
    from minidl.cli import main

    path = tmp_path / "broken.onnx"
    path.write_bytes(b"nothing")
    assert main(["serve", str(path), "--port", "0"]) == 1
    assert "broken.onnx" in capsys.readouterr().err
    assert main(["serve", str(tmp_path / "missing.onnx")]) == 1
    assert "there is no file" in capsys.readouterr().err
    (tmp_path / "x").mkdir()
    for folder in ("", "x/"):
        write_model(tmp_path / f"{folder}net.onnx")
    assert main(["serve", str(tmp_path / "net.onnx"), str(tmp_path / "x/net.onnx")]) == 1
    assert "two models are called 'net'" in capsys.readouterr().err


def test_a_port_that_is_taken(tmp_path, capsys):
    from minidl.cli import main

    path = tmp_path / "net.onnx"
    write_model(path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["serve", str(path), "--port", str(port)]) == 1
    assert "in use" in capsys.readouterr().err


def test_json_is_what_it_seems(served):
    connection = http.client.HTTPConnection(served[0], timeout=20)
    connection.request("GET", "/openapi.json")
    assert json.loads(connection.getresponse().read())["openapi"].startswith("3.1")
    connection.close()

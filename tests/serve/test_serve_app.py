"""The routes, in this process: answers, refusals, batching, failures, reloading, the page."""

from __future__ import annotations

import asyncio
import io
import struct
import threading
import time
import zlib

import numpy as np
import pytest
from PIL import Image
from serving import CLASSES, PICTURES, encoded, in_bytes, in_json, logits_of, write_model
from starlette.testclient import TestClient

from minidl.serve import RequestError, Settings, build
from minidl.serve.batching import Batcher
from minidl.serve.guard import Guard
from minidl.serve.model import ServedModel


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    paths = {"first": folder / "first.onnx", "second": folder / "second.safetensors"}
    return paths, [write_model(path, seed) for seed, path in enumerate(paths.values())]


@pytest.fixture(scope="module")
def client(files):
    with TestClient(build(files[0], Settings(max_batch=4), max_body=3_000_000)) as client:
        yield client


def test_health_and_metadata(client):
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    assert client.get("/v2").json()["extensions"] == ["binary_tensor_data"]
    facts = client.get("/v2/models/first").json()
    assert facts["inputs"] == [{"name": "input", "datatype": "FP32", "shape": [-1, 3, 32, 32]}]
    assert facts["outputs"] == [{"name": "logits", "datatype": "FP32", "shape": [-1, 10]}]
    assert client.get("/v2/models/first/versions/1/ready").json()["ready"]
    assert [m["name"] for m in client.post("/v2/repository/index").json()] == ["first", "second"]


@pytest.mark.parametrize("place", [0, 1])
def test_infer(client, files, place):
    name, classifier = list(files[0])[place], files[1][place]
    wanted = logits_of(classifier, PICTURES)
    answer = client.post(f"/v2/models/{name}/infer", json=in_json(PICTURES)).json()
    found = np.array(answer["outputs"][0]["data"], np.float32).reshape(3, 10)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    body, headers = in_bytes(PICTURES)
    response = client.post(f"/v2/models/{name}/infer", content=body, headers=headers)
    size = int(response.headers["Inference-Header-Content-Length"])
    found = np.frombuffer(response.content[size:], "<f4").reshape(3, 10)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_more_pictures_than_a_batch_holds(client, files):
    pictures = np.concatenate([PICTURES] * 4)
    answer = client.post("/v2/models/first/infer", json=in_json(pictures)).json()
    found = np.array(answer["outputs"][0]["data"], np.float32).reshape(12, 10)
    np.testing.assert_allclose(found, logits_of(files[1][0], pictures), rtol=1e-4, atol=1e-5)


def test_predict(client, files):
    content = encoded()
    for request in (
        {"content": content, "headers": {"content-type": "image/png"}},
        {"files": {"file": ("noise.png", content, "image/png")}},
    ):
        answer = client.post("/predict?top=4&model=second", **request).json()
        with Image.open(io.BytesIO(content)) as picture:
            inputs = files[1][1].prepare(picture).numpy()[None]
        logits = logits_of(files[1][1], inputs)[0].astype(np.float64)
        shares = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        assert answer["model"] == "second"
        assert [c["name"] for c in answer["classes"]] == [
            CLASSES[i] for i in np.argsort(-shares)[:4]
        ]
        found = [each["probability"] for each in answer["classes"]]
        np.testing.assert_allclose(found, np.sort(shares)[::-1][:4], rtol=1e-3)
        assert set(answer["timings_ms"]) == {"receive", "decode", "queue", "compute"}


def test_no_request_is_compiled_for(files):
    model = ServedModel("first", files[0]["first"], max_batch=4)
    before = model._forward.captures
    strided = np.zeros((6, 3, 32, 32), np.float32)[::2]
    for pictures in (PICTURES[0][None], PICTURES[:2], strided, PICTURES[:1, :, ::-1]):
        model.logits(pictures)
    assert model._forward.captures == before == len(model.sizes)


def test_predict_with_an_explanation(client):
    answer = client.post(
        "/predict?explain=1", content=encoded(), headers={"content-type": "image/png"}
    ).json()
    assert answer["explanation"].startswith("data:image/png;base64,")
    assert answer["timings_ms"]["explain"] > 0


def _bomb(side):
    """A PNG of side x side pixels in a few bytes."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"", "image/png", 400),
        (b"no picture at all", "image/png", 415),
        (encoded()[:500], "image/png", 400),
        (encoded(kind="JPEG")[:300], "image/jpeg", 400),
        (_bomb(5_000), "image/png", 413),
        (_bomb(60_000), "image/png", 413),
        (encoded(), "text/plain", 415),
        (encoded(), "", 415),
        (bytes(3_000_001), "image/png", 413),
    ],
    ids=["none", "other", "cut PNG", "cut JPEG", "bomb", "large bomb", "text", "untyped", "large"],
)
def test_pictures_that_are_refused(client, content, kind, status):
    response = client.post("/predict", content=content, headers={"content-type": kind})
    assert response.status_code == status and response.json()["error"]
    assert client.get("/v2/health/ready").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("get", "/nothing", 404),
        ("get", "/v2/models/third", 404),
        ("post", "/v2/models/third/infer", 404),
        ("post", "/v2/repository/models/third/load", 404),
        ("get", "/v2/models/first/infer", 405),
        ("post", "/predict?model=third", 404),
        ("post", "/predict?top=0", 400),
        ("post", "/predict?top=-1", 400),
        ("post", "/predict?explain=yes", 400),
        ("get", "/page/../app.py", 404),
        ("get", "/page/%2e%2e/app.py", 404),
    ],
)
def test_paths_that_are_refused(client, method, path, status):
    response = client.request(method, path)
    assert response.status_code == status and response.json()["error"]


def test_requests_that_are_refused(client):
    def post(**how):
        return client.post("/v2/models/first/infer", **how).status_code

    assert post(content=b"{") == 400
    assert post(content=b"{}", headers={"content-type": "text/xml"}) == 415
    assert post(json=in_json(PICTURES[:, :1])) == 400
    assert post(content=bytes(3_000_001)) == 413

    def endless():
        for _ in range(40):
            yield bytes(100_000)

    assert post(content=endless()) == 413  # without a length in front
    body = {"file": ("x.png", b"", "image/png")}
    assert (
        client.post("/predict", data={"file": "text"}, files={"other": body["file"]}).status_code
        == 400
    )


def test_the_page(client):
    response = client.get("/")
    assert response.status_code == 200 and "<title>minidl</title>" in response.text
    assert "default-src 'self'" in response.headers["content-security-policy"]
    assert response.headers["x-content-type-options"] == "nosniff"
    for name in ("style.css", "script.js", "icon.svg"):
        text = client.get(f"/page/{name}").text
        assert text and "http://" not in text.replace("http://www.w3.org/2000/svg", "")
        assert "https://" not in text
    (card, _) = client.get("/models").json()["models"]
    assert card["parameters"] == 62_006 and card["results"] == {"test_accuracy": 0.5}


def test_metrics(client):
    client.post("/v2/models/first/infer", json=in_json(PICTURES))
    text = client.get("/metrics").text
    assert 'minidl_requests_total{model="first",route="infer",status="200"}' in text
    assert 'minidl_requests_total{model="",route="infer",status="404"}' in text
    assert 'minidl_batch_pictures_bucket{le="4.0",model="first"}' in text


def test_the_description_names_every_route(client):
    described = client.get("/openapi.json").json()["paths"]
    routes = {r.path for r in client.app.app.routes} - {"/", "/page", "/openapi.json", "/metrics"}
    assert set(described) == routes


def test_a_token(files):
    app = build({"first": files[0]["first"]}, token="secret")
    with TestClient(app) as client:
        assert client.get("/v2/models/first").status_code == 401
        for header in ("", "Bearer", "Bearer wrong", "secret", "Bearer secret2"):
            response = client.post("/predict", headers={"authorization": header})
            assert response.status_code == 401 and response.headers["www-authenticate"] == "Bearer"
        for path in ("/", "/page/script.js", "/v2/health/live"):
            assert client.get(path).status_code == 200
        known = {"authorization": "Bearer secret"}
        assert client.get("/v2/models/first", headers=known).status_code == 200


def test_reloading(tmp_path):
    path = tmp_path / "net.onnx"
    write_model(path, 0)
    with TestClient(build({"net": path})) as client:

        def ask():
            answer = client.post("/v2/models/net/infer", json=in_json(PICTURES[:1])).json()
            return answer["outputs"][0]["data"]

        before = ask()
        write_model(path, 5)
        assert ask() == before
        assert client.post("/v2/repository/models/net/load").status_code == 200
        after = ask()
        assert after != before
        path.write_bytes(path.read_bytes()[:-500])
        response = client.post("/v2/repository/models/net/load")
        assert response.status_code == 400 and "stays as it was" in response.json()["error"]
        assert ask() == after


# ------------------------------------------------------------------------------ batching


def _asked(settings, compute, *sizes, gap=0.0):
    """What several requests at the same time get: answers, or the errors' statuses."""

    async def run():
        batcher = Batcher(compute, settings)

        async def ask(size, i):
            await asyncio.sleep(gap * i)
            try:
                answer = await batcher.submit(np.full((size, 1), i, np.float32))
                return answer.logits.ravel().tolist()
            except RequestError as error:
                return error.status

        try:
            return await asyncio.gather(*(ask(size, i) for i, size in enumerate(sizes)))
        finally:
            await asyncio.to_thread(batcher.close)

    return asyncio.run(run())


def test_requests_at_the_same_time_are_computed_together():
    seen = []

    def compute(pictures):
        seen.append(len(pictures))
        return 2 * pictures

    settings = Settings(max_batch=8, max_wait=0.2)
    found = _asked(settings, compute, 1, 2, 1, 3, 1)
    assert found == [[0], [2, 2], [4], [6, 6, 6], [8]]
    assert seen == [8]


def test_batches_are_not_larger_than_allowed():
    seen = []

    def compute(pictures):
        seen.append(len(pictures))
        return pictures

    _asked(Settings(max_batch=4, max_wait=0.1), compute, *[1] * 10)
    assert max(seen) == 4 and sum(seen) == 10
    seen.clear()
    assert len(_asked(Settings(max_batch=4), compute, 11)[0]) == 11
    assert seen == [4, 4, 3]


def test_one_at_a_time():
    seen = []

    def compute(pictures):
        seen.append(len(pictures))
        return pictures

    _asked(Settings(max_batch=1), compute, 1, 1, 1)
    assert seen == [1, 1, 1]


def test_a_full_queue_refuses():
    release = threading.Event()

    def compute(pictures):
        release.wait(5)
        return pictures

    threading.Timer(0.5, release.set).start()
    settings = Settings(max_batch=1, max_wait=0, capacity=2)
    found = _asked(settings, compute, *[1] * 6, gap=0.02)
    assert found.count(503) == 3  # one is computed, two wait
    assert [each for each in found if each != 503] == [[0], [1], [2]]


def test_a_full_queue_says_when_to_come_again(files):
    with TestClient(build({"first": files[0]["first"]}, Settings(capacity=2))) as client:
        response = client.post("/v2/models/first/infer", json=in_json(PICTURES[:2]))
        assert response.status_code == 200
        response = client.post("/v2/models/first/infer", json=in_json(PICTURES))
        assert response.status_code == 400  # more than will ever fit
    error = RequestError(503, "full", {"Retry-After": "1"})
    assert error.headers == {"Retry-After": "1"}


def test_what_takes_too_long_is_given_up():
    def compute(pictures):
        time.sleep(0.3)
        return pictures

    found = _asked(Settings(max_batch=1, max_wait=0, timeout=0.1), compute, 1, 1)
    assert found == [504, 504]


def test_nobody_computes_for_clients_that_have_gone():
    seen = []

    def compute(pictures):
        seen.append(pictures[0, 0])
        time.sleep(0.2)
        return pictures

    _asked(Settings(max_batch=1, max_wait=0, timeout=0.1), compute, 1, 1, 1)
    assert seen == [0]


def test_a_model_that_fails_spares_the_others():
    def compute(pictures):
        if (pictures == 1).any():
            raise ZeroDivisionError("not for the client's eyes")
        return pictures

    assert _asked(Settings(max_batch=1), compute, 1, 1, 1) == [[0], 500, [2]]


def test_closing_answers_what_waits():
    async def run():
        def compute(pictures):
            time.sleep(0.05)
            return pictures

        batcher = Batcher(compute, Settings(max_batch=1, max_wait=0))
        asked = [asyncio.ensure_future(batcher.submit(np.ones((1, 1), np.float32))) for _ in "abc"]
        await asyncio.sleep(0)
        await asyncio.to_thread(batcher.close)
        return [answer.logits.item() for answer in await asyncio.gather(*asked)]

    assert asyncio.run(run()) == [1, 1, 1]


# ------------------------------------------------------------------------------ slow bodies


def test_a_body_that_does_not_come_is_given_up():
    async def app(scope, receive, send):
        try:
            while (await receive()).get("more_body"):
                pass
        except RequestError as error:
            return statuses.append(error.status)
        return statuses.append(200)

    statuses = []

    async def run(parts, gap):
        messages = iter(range(parts))

        async def receive():
            await asyncio.sleep(gap)
            return {"type": "http.request", "body": b"x", "more_body": next(messages) < parts - 1}

        scope = {"type": "http", "path": "/predict", "headers": []}
        await Guard(app, 100, seconds=0.3)(scope, receive, None)

    asyncio.run(run(20, 0.05))
    asyncio.run(run(3, 0.01))
    asyncio.run(run(150, 0.0))
    assert statuses == [408, 200, 413]

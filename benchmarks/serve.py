"""The server under load: ``python -m benchmarks.serve MODEL.onnx [--overload SECONDS]``.

Clients on the loopback interface, each with a connection of its own that it keeps, send a picture
as a binary tensor as soon as the last answer is there. Dynamic batching takes turns with a server
that computes one request at a time. Then ten times as many clients ask a server with a short queue
for a while: every request must get an answer or a 503.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import json
import multiprocessing
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.machine import describe
from minidl.recipes import load_model

CLIENTS, SECONDS, ROUNDS = 32, 4.0, 3


def request_of(model: Path) -> bytes:
    """The bytes of a request with one picture."""
    shape = load_model(model).input_shape
    data = np.random.default_rng(0).standard_normal((1, *shape)).astype("<f4").tobytes()
    tensor = {
        "name": "input",
        "shape": [1, *shape],
        "datatype": "FP32",
        "parameters": {"binary_data_size": len(data)},
    }
    text = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    head = (
        f"POST /v2/models/{model.stem}/infer HTTP/1.1\r\nHost: localhost\r\n"
        f"Inference-Header-Content-Length: {len(text)}\r\n"
        f"Content-Length: {len(text) + len(data)}\r\n\r\n"
    )
    return head.encode() + text + data


async def client(port: int, request: bytes, end: float, statuses: collections.Counter, times: list):
    """Ask until ``end``; a connection that breaks is a lost request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.perf_counter() < end:
        start = time.perf_counter()
        writer.write(request)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(re.search(rb"\r\ncontent-length: (\d+)", head, re.I).group(1))
            await reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError):
            statuses["lost"] += 1
            break
        statuses[head[9:12].decode()] += 1
        times.append(time.perf_counter() - start)
    writer.close()


async def clients(port: int, request: bytes, count: int, seconds: float):
    statuses, times = collections.Counter(), []
    end = time.perf_counter() + seconds
    asking = [
        asyncio.ensure_future(client(port, request, end, statuses, times)) for _ in range(count)
    ]
    done, hung = await asyncio.wait(asking, timeout=seconds + 30)
    statuses["hung"] = len(hung)
    for task in done:
        task.result()
    return dict(statuses), times


def load(port: int, request: bytes, count: int, seconds: float, queue) -> None:
    """In a process of its own: what clients saw."""
    queue.put(asyncio.run(clients(port, request, count, seconds)))


def under_load(model: Path, options: list[str], count: int, seconds: float) -> dict:
    """Start a server, let clients ask, end it."""
    command = [sys.executable, "-m", "minidl.cli", "serve", str(model), "--port", "0", *options]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        port = next(
            int(found.group(1))
            for line in server.stderr
            if (found := re.search(r"127\.0\.0\.1:(\d+)", line))
        )
        context = multiprocessing.get_context("spawn")
        queue = context.Queue()
        args = port, request_of(model), count, seconds, queue
        process = context.Process(target=load, args=args)
        process.start()
        statuses, times = queue.get(timeout=seconds + 60)
        process.join()
    finally:
        server.terminate()
        code = server.wait(60)
    return {
        "statuses": statuses,
        "per_second": len(times) / seconds,
        "median_ms": 1e3 * float(np.median(times)),
        "p99_ms": 1e3 * float(np.percentile(times, 99)),
        "exit_code": code,
    }


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--overload", type=float, default=60.0, metavar="SECONDS")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    facts: dict = {"machine": describe(), "batched": [], "single": []}
    for _ in range(ROUNDS):
        for name, options in (("batched", []), ("single", ["--max-batch", "1"])):
            facts[name].append(under_load(args.model, options, CLIENTS, SECONDS))
    print(f"{facts['machine']}; {CLIENTS} clients\n")
    for name in ("batched", "single"):
        rates = [row["per_second"] for row in facts[name]]
        row = facts[name][int(np.argsort(rates)[len(rates) // 2])]
        print(
            f"{name:8} {np.median(rates):8,.0f} requests/s ({min(rates):,.0f}..{max(rates):,.0f}), "
            f"median {row['median_ms']:.2f} ms, 99 % {row['p99_ms']:.2f} ms, {row['statuses']}"
        )
    ratios = [a["per_second"] / b["per_second"] for a, b in zip(facts["batched"], facts["single"])]
    print(f"ratio    {np.median(ratios):.2f} ({min(ratios):.2f}..{max(ratios):.2f})")
    if args.overload:
        options = ["--queue", "32"]
        facts["overload"] = under_load(args.model, options, 10 * CLIENTS, args.overload)
        print(f"overload, {args.overload:g} s, {10 * CLIENTS} clients, a queue of 32 pictures:")
        print(facts["overload"])
    if args.json:
        args.json.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Matrix products: cut into blocks or not, with threads or without, the result is one."""

import multiprocessing
import warnings

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import minidl
from minidl.kernels import kernels, matmul, single_threaded, use_kernels

SHAPES = [
    ((3, 4), (4, 5)),
    ((300, 200), (200, 150)),
    ((700, 300), (300, 400)),  # cut into blocks of rows
    ((7, 2000), (2000, 3000)),  # as many blocks as rows
    ((5, 200, 300), (300, 400)),
    ((2, 1, 300, 200), (3, 200, 150)),
]


@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equals_the_reference(shapes, dtype):
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=shape).astype(dtype) for shape in shapes)
    expected = np.matmul(a.astype(np.float64), b.astype(np.float64))
    tolerance = 1e-3 if dtype == np.float32 else 1e-11
    for variant in kernels["matmul"].variants:
        np.full(expected.shape, np.nan, dtype)  # so that memory left unwritten shows
        with use_kernels(variant):
            found = matmul(a, b)
        assert found.dtype == dtype
        np.testing.assert_allclose(found, expected, atol=tolerance)
        transposed = np.ascontiguousarray(b.swapaxes(-1, -2)).swapaxes(-1, -2)
        np.testing.assert_allclose(matmul(a, transposed), expected, atol=tolerance)


def test_threads_do_not_change_the_result():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(1000, 500)), rng.normal(size=(500, 600))
    threaded = matmul(a, b)
    with single_threaded():
        assert threaded.tobytes() == matmul(a, b).tobytes()


def blas_threads():
    return [
        library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"
    ]


def test_blas_gets_its_threads_back(monkeypatch):
    during = []
    monkeypatch.setattr(np, "matmul", lambda a, b, out=None: during.append(blas_threads()))
    with threadpool_limits(limits=2, user_api="blas"):
        before = blas_threads()
        with single_threaded():
            matmul(np.ones((700, 300)), np.ones((300, 400)))
        assert blas_threads() == before
    assert during
    assert all(count == 1 for counts in during for count in counts)


def test_shapes_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"matmul\(float32\[700, 300\], float32\[400, 300\]\)"):
        minidl.ones(700, 300) @ minidl.ones(400, 300)


def _multiply(connection):
    connection.send(matmul(np.ones((700, 300)), np.ones((300, 400)))[0, 0])


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="this system cannot fork"
)
def test_a_forked_process_multiplies_too():
    matmul(np.ones((700, 300)), np.ones((300, 400)))  # so that there are threads to lose
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=_multiply, args=(theirs,))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12's, about forks
        process.start()
    assert ours.poll(30)
    assert ours.recv() == 300
    process.join()

"""Samples of losses."""

import numpy as np
from hypothesis import strategies as st

import minidl
from minidl.testing.samples import Sample, samples
from minidl.testing.strategies import arrays, arrays_together, integer_arrays, shapes

REDUCTIONS = st.sampled_from(["none", "mean", "sum"])


@samples(minidl.mse_loss)
@samples(minidl.l1_loss)
def _(draw):
    shape = draw(shapes(min_side=1))
    return Sample(*draw(arrays_together((shape, shape))), reduction=draw(REDUCTIONS))


@samples(minidl.smooth_l1_loss)
def _(draw):
    shape, beta = draw(shapes(min_side=1)), draw(st.sampled_from([0.0, 0.5, 2.0]))
    input = draw(arrays(shape))
    # PyTorch has no second derivative where the distance is 0 or beta
    distance = draw(arrays(shape, away_from=(-beta, 0.0, beta)))
    target = np.asarray(input + distance)
    return Sample(input, target, reduction=draw(REDUCTIONS), beta=beta)


@samples(minidl.binary_cross_entropy)
def _(draw):
    shape = draw(shapes(min_side=1))
    probabilities = draw(arrays_together((shape, shape), min_value=0.1, max_value=0.9))
    return Sample(*probabilities, weight=_some(draw, shape), reduction=draw(REDUCTIONS))


@samples(minidl.binary_cross_entropy_with_logits)
def _(draw):
    shape = draw(shapes(min_dims=1, min_side=1))
    input, target = draw(arrays(shape)), draw(arrays(shape, min_value=0.0, max_value=1.0))
    return Sample(
        input,
        target,
        weight=_some(draw, shape),
        reduction=draw(REDUCTIONS),
        pos_weight=_some(draw, shape[-1:]),
    )


def _some(draw, shape):
    """Positive weights, or None."""
    return draw(st.none() | arrays(shape, min_value=0.5, max_value=2.0))


@samples(minidl.kl_div)
def _(draw):
    shape = draw(shapes(min_dims=1, min_side=1))
    log_target = draw(st.booleans())
    low = -3.0 if log_target else 0.1
    input, target = draw(arrays(shape)), draw(arrays(shape, min_value=low))
    # plain "mean" makes PyTorch warn
    reduction = draw(st.sampled_from(["none", "sum", "batchmean"]))
    return Sample(input, target, reduction=reduction, log_target=log_target)


def _labelled(draw):
    """Logits (C,), (N, C) or (N, C, d1, ...), labels, and weights for the classes or None."""
    classes = draw(st.integers(1, 4))
    n, *sides = draw(shapes(min_dims=1, max_dims=3, min_side=1))
    single = not sides and draw(st.booleans())
    shape, labels = ((classes,), ()) if single else ((n, classes, *sides), (n, *sides))
    weight = _some(draw, (classes,))
    return draw(arrays(shape)), draw(integer_arrays(labels, 0, classes - 1)), weight


@samples(minidl.cross_entropy)
def _(draw):
    input, target, weight = _labelled(draw)
    if target.size > 1:
        target.flat[0] = draw(st.sampled_from([target.flat[0], -100]))
    return Sample(
        input,
        target,
        weight=weight,
        reduction=draw(REDUCTIONS),
        label_smoothing=draw(st.sampled_from([0.0, 0.2])),
    )


@samples(minidl.cross_entropy)
def _(draw):
    shape = draw(shapes(min_dims=1, min_side=1))
    input, target = draw(arrays(shape)), draw(arrays(shape, min_value=0.0, max_value=1.0))
    return Sample(
        input,
        target,
        weight=_some(draw, shape[:2][-1:]),
        reduction=draw(REDUCTIONS),
        label_smoothing=draw(st.sampled_from([0.0, 0.2])),
    )


@samples(minidl.nll_loss)
def _(draw):
    input, target, weight = _labelled(draw)
    ignored = 0 if target.any() and draw(st.booleans()) else -100
    return Sample(input, target, weight=weight, ignore_index=ignored, reduction=draw(REDUCTIONS))

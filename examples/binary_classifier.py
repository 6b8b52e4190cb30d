"""The article's section 4.3, step by step: a binary classifier on 100 samples of 10 features.

Each step stands beside its formula from section 4.2, once written out by hand and once
left to autograd; the two must agree.

    python examples/binary_classifier.py
"""

import minidl

minidl.manual_seed(0)

# The data set: X has 100 rows x_i of 10 features. The true label y_i is 1 where a hidden
# weighted sum of the features is positive, so that there is something to learn.
X = minidl.randn(100, 10)
y = (X @ minidl.randn(10) > 0).float()

# 1. Initialise the parameters: theta = (w, b), with a weight for each feature.
w = minidl.zeros(10, requires_grad=True)
b = minidl.zeros(1, requires_grad=True)
alpha = 0.5  # the learning rate

for step in range(201):
    # The prediction: y_hat_i = sigmoid(w . x_i + b), the probability of class 1.
    y_hat = (X @ w + b).sigmoid()

    # 2. The loss: L(y, y_hat) = -1/m sum_i [y_i log y_hat_i + (1 - y_i) log(1 - y_hat_i)],
    #    the article's cross-entropy with the sum over the two classes written out.
    L = -(y * y_hat.log() + (1 - y) * (1 - y_hat).log()).mean()

    # The gradient: dL/dw = 1/m sum_i (y_hat_i - y_i) x_i and dL/db = 1/m sum_i (y_hat_i - y_i).
    L.backward()
    with minidl.no_grad():
        error = y_hat - y
        by_hand = (X.T @ error / len(y), error.mean())
        assert (w.grad - by_hand[0]).abs().max() < 1e-5, "autograd and the formula disagree"
        assert (b.grad - by_hand[1]).abs().max() < 1e-5, "autograd and the formula disagree"

        # 3. The update: theta <- theta - alpha * dL/dtheta.
        w -= alpha * w.grad
        b -= alpha * b.grad
    w.grad = b.grad = None

    # 4. Repeat.
    if step % 50 == 0:
        correct = ((y_hat > 0.5) == (y == 1)).float().mean()
        print(f"step {step:3}: loss {L.item():.4f}, accuracy {correct.item():.0%}")

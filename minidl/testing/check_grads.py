def check_grads(f, inputs, order=2):
    """Placeholder until the numerical check lands."""

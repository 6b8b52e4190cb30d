"""Scripts: what a step needs are globals of its module."""

from steps.data import batch, normal
from steps.example import Example, example, load


@example
def script_plain_sgd(compile):
    script = load("plain_sgd")
    return Example(compile(script.train_step), batch, lambda: [script.model, script.optimizer])


@example
def script_learning_rate_decays_by_hand(compile):
    script = load("plain_sgd")

    def between(i):
        script.learning_rate = 0.1 * 0.5 ** (i // 4)
        for group in script.optimizer.param_groups:
            group["lr"] = script.learning_rate

    state = lambda: [script.model, script.optimizer, script.learning_rate]  # noqa: E731
    return Example(compile(script.train_step), batch, state, between=between)


@example
def script_global_named_step(compile):
    script = load("global_step")
    script.train = compile(script.train)

    def train(x, y):
        script.last = script.train(x, y)
        return script.last

    return Example(
        train,
        batch,
        lambda: [script.model, script.optimizer, script.step, script.epoch, script.losses],
        between=lambda i: script.after(i, script.last),
    )


@example
def script_nested_config(compile):
    script = load("config_dict")

    def between(i):
        if i == 4:
            script.config["train"]["label_smoothing"] = 0.0
        if i == 8:
            script.config["train"]["clip"]["norm"] = 0.01

    state = lambda: [script.model, script.config]  # noqa: E731
    return Example(compile(script.train_step), batch, state, between=between, calls=12)


@example
def script_train_gets_model_loader_and_optimizer(compile):
    script = load("main_functions")

    def args(i):
        loader = [batch(10 * i + k) for k in range(3)]
        return script.args, script.model, loader, script.optimizer

    return Example(
        compile(script.train),
        args,
        lambda: [script.model, script.optimizer, script.scheduler],
        between=lambda i: script.scheduler.step(),
    )


@example
def script_train_and_test_functions(compile):
    script = load("main_functions")
    train, test = compile(script.train), compile(script.test)

    def epoch(loader, held_out):
        loss = train(script.args, script.model, loader, script.optimizer)
        return loss, test(script.model, held_out)

    return Example(
        epoch,
        lambda i: ([batch(3 * i), batch(3 * i + 1)], [batch(3 * i + 2, size=5)]),
        lambda: [script.model, script.optimizer],
        between=lambda i: script.scheduler.step(),
    )


@example
def script_running_loss_is_a_global(compile):
    script = load("running_global")
    return Example(
        compile(script.step),
        lambda i: (normal(i, 5, 4), normal(i, 5, 1)),
        lambda: [script.net, script.optimizer, script.running_loss],
    )


@example
def script_argparse_namespace(compile):
    script = load("namespace_args")

    def between(i):
        if i == 3:
            script.args.loss = "huber"
        if i == 7:
            script.args.l1, script.args.clip = 0.0, None

    return Example(
        compile(script.train_iter),
        lambda i: (normal(i, 5, 4), normal(i, 5, 1)),
        lambda: [script.model, script.optimizer, vars(script.args)],
        between=between,
    )


@example
def script_prints_every_third_step(compile):
    script = load("printing")
    script.fit = compile(script.fit)

    def fit(inputs, labels):
        script.last = script.fit(inputs, labels)
        return script.last

    return Example(
        fit,
        batch,
        lambda: [script.net, script.optimizer, script.running_loss, script.log],
        between=lambda i: script.report(i, script.last),
    )


@example
def script_settings_module_changes(compile):
    script, settings = load("plain_sgd"), load("settings")
    penalty = settings.ACTIVE

    @compile
    def step(x, y):
        script.optimizer.zero_grad()
        loss = settings.SCALE * script.criterion(script.model(settings.scaled(x)), y)
        l2 = settings.ACTIVE["penalty"]["l2"]
        loss = loss + l2 * sum(p.square().sum() for p in script.model.parameters())
        loss.backward()
        script.optimizer.step()
        return loss

    def between(i):
        if i == 4:
            settings.SCALE = 0.5
        if i == 7:
            penalty["penalty"]["l2"] = 0.0

    return Example(step, batch, lambda: [script.model, script.optimizer], between=between)

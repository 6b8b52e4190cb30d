"""Options, members and states of optimizers, and what schedulers know."""

from drawn.effects.effect import Effect

_PICK = "(0.1, 0.3, 0.02)[k]"
_BASE = "y = x * 2.0"
_GROUP = "optimizer.param_groups[0]"
_SGD = "optimizer = minidl.optim.SGD([weight], lr=0.1, momentum=0.5)"
_ADAM = "optimizer = minidl.optim.Adam([weight], lr=0.1)"
_ADAMW = "optimizer = minidl.optim.AdamW([weight], lr=0.1, weight_decay=0.1)"
_TWO = (
    "other = nn.Parameter(minidl.ones(3))\n"
    "optimizer = minidl.optim.SGD([{'params': [weight]}, {'params': [other], 'lr': 0.05}], lr=0.1)"
)
_MINE = """
class Mine(minidl.optim.SGD):
    factor = 1.0

    def update(self, params, gradients, group):
        gradients = [gradient * self.factor for gradient in gradients]
        super().update(params, gradients, group)
"""


def _optimizer(name, make, changes, step=_BASE, **options):
    return Effect(name, "optimizer", step, tuple(changes), local=make, train=True, **options)


def _scheduler(name, make, changes, step="scheduler.step()\ny = x * 2.0", **options):
    make = f"scheduler = minidl.optim.lr_scheduler.{make}"
    return Effect(name, "scheduler", step, tuple(changes), local=make, train=True, **options)


OPTIMIZERS = (
    *(
        _optimizer(f"SGD's {name}", make, [f"{_GROUP}['{name}'] = {values}[k]"])
        for name, values, make in (
            ("lr", "(0.1, 0.3, 0.02)", _SGD),
            ("momentum", "(0.5, 0.9, 0.0)", _SGD),
            ("momentum", "(0, 0.9, 0.5)", _SGD.replace("0.5", "0")),
            ("dampening", "(0, 0.5, 0.25)", _SGD),
            ("weight_decay", "(0, 0.5, 0.25)", _SGD),
            ("nesterov", "(False, True, False)", _SGD),
            ("maximize", "(False, True, True)", _SGD),
        )
    ),
    *(
        _optimizer(f"Adam's {name}", make, [f"{_GROUP}['{name}'] = {values}[k]"])
        for name, values in (
            ("lr", "(0.1, 0.3, 0.02)"),
            ("betas", "((0.9, 0.999), (0.5, 0.9), (0.0, 0.5))"),
            ("eps", "(1e-8, 0.1, 1.0)"),
            ("weight_decay", "(0, 0.5, 0.25)"),
            ("amsgrad", "(False, True, False)"),
            ("maximize", "(False, True, True)"),
        )
        for make in (_ADAM, _ADAMW)
    ),
    _optimizer(
        "group replaced",
        _SGD,
        [
            f"{_GROUP[:-3]}[0] = dict({_GROUP}, lr={_PICK})",
            f"optimizer.param_groups = [dict({_GROUP}, lr={_PICK})]",
            f"optimizer.param_groups[:] = [dict({_GROUP}, lr={_PICK})]",
            "optimizer.param_groups = optimizer.param_groups * (2 if k else 1)",
            "optimizer.param_groups = optimizer.param_groups[: 1 - (k > 0)] or []",
        ],
    ),
    _optimizer(
        "members",
        _TWO,
        [
            "optimizer.param_groups[1]['params'] = [other][: 1 - (k > 0)]",
            "optimizer.param_groups[1]['params'].clear()",
            "optimizer.param_groups[0]['params'].append(optimizer.param_groups[1]['params'].pop())",
            "optimizer.param_groups.reverse()",
            "del optimizer.param_groups[1:]",
            "optimizer.add_param_group({'params': [EXTRA], 'lr': 0.5})",
            "optimizer.param_groups[1]['lr'] = " + _PICK,
            "optimizer.param_groups[0]['params'][0] = weight if k == 0 else other",
        ],
        "y = x * 2.0 + other + EXTRA",
        top="EXTRA = nn.Parameter(minidl.ones(3))",
        state="[other, EXTRA]",
    ),
    _optimizer(
        "state",
        _SGD,
        [
            "optimizer.state.clear()",
            "optimizer.state[weight]['momentum_buffer'].zero_()",
            "optimizer.state[weight]['momentum_buffer'] = minidl.full((3,), 1.0 + k)",
            "optimizer.state = collections.defaultdict(dict)",
            "optimizer.state.pop(weight, None)",
            "optimizer.state[weight]['momentum_buffer'].data = minidl.full((3,), 1.0 + k)",
            "optimizer.load_state_dict({**optimizer.state_dict(), 'state': {}})",
        ],
    ),
    _optimizer(
        "Adam's state",
        _ADAM,
        [
            "optimizer.state.clear()",
            "optimizer.state[weight]['step'] = minidl.tensor(50.0 + k)",
            "optimizer.state[weight]['exp_avg'].zero_()",
            "optimizer.state[weight]['exp_avg_sq'] = minidl.full((3,), 1.0 + k)",
            "optimizer.state[weight]['step'].fill_(9.0)",
            "optimizer.load_state_dict({**optimizer.state_dict(), 'state': {}})",
        ],
    ),
    _optimizer(
        "class of a user",
        "optimizer = Mine([weight], lr=0.1)",
        [
            "Mine.factor = 1.0 + k",
            "optimizer.factor = 1.0 + k",
            "Mine.update = minidl.optim.SGD.update if k else UPDATE",
            "optimizer.update = lambda params, gradients, group: None",
            "optimizer.step = (lambda: None) if k else Mine.step.__get__(optimizer)",
            "Mine.step = lambda self, closure=None: weight.data.add_(k)",
            "optimizer.zero_grad = lambda: None",
            "optimizer.__class__ = Mine if k == 0 else minidl.optim.SGD",
            "Mine.__bases__ = (minidl.optim.SGD,) if k == 0 else (Slow,)",
            "Mine.update.__code__ = Slow.update.__code__",
        ],
        top=_MINE
        + """

UPDATE = Mine.update


class Slow(minidl.optim.SGD):
    def update(self, params, gradients, group):
        super().update(params, [-gradient for gradient in gradients], group)
""",
    ),
    _optimizer(
        "another optimizer",
        _SGD,
        ["optimizer = OTHERS[k](weight)"],
        declare="optimizer",
        top="""
OTHERS = [
    lambda w: minidl.optim.SGD([w], lr=0.1),
    lambda w: minidl.optim.SGD([w], lr=0.3),
    lambda w: minidl.optim.Adam([w], 0.1),
]
""",
    ),
    _optimizer(
        "number of groups",
        _SGD,
        ["optimizer.add_param_group({'params': [nn.Parameter(minidl.ones(1))]})"],
        "y = x * len(optimizer.param_groups)",
    ),
    _optimizer(
        "options that are read",
        _SGD,
        [f"{_GROUP}['lr'] = {_PICK}", f"{_GROUP}.update(lr={_PICK})"],
        f"y = x * {_GROUP}['lr'] + len(optimizer.state_dict()['param_groups'][0]['params'])",
    ),
    _optimizer(
        "options that the step sets",
        _SGD,
        ["RATE[0] = " + _PICK],
        f"{_GROUP}['lr'] = RATE[0]\ny = x * 2.0",
        top="RATE = [0.1]",
    ),
    _optimizer(
        "state that is read",
        _SGD,
        ["optimizer.state.clear()"],
        "y = x * (1.0 + len(optimizer.state))",
    ),
    _optimizer(
        "a step in a loop",
        _SGD,
        ["TIMES[0] = 1 + k"],
        "y = x * 2.0",
        top="TIMES = [1]",
        after="for _ in range(TIMES[0]):\n    optimizer.step()",
    ),
    _optimizer(
        "clipping",
        _SGD,
        ["LIMIT[0] = (0.5, 0.1, 5.0)[k]"],
        "y = x * 2.0",
        top="LIMIT = [0.5]",
        after="nn.utils.clip_grad_norm_([weight], LIMIT[0])\noptimizer.step()",
    ),
)

SCHEDULERS = (
    _scheduler(
        "ExponentialLR",
        "ExponentialLR(optimizer, 0.9)",
        [
            "scheduler.gamma = (0.9, 0.5, 1.5)[k]",
            "scheduler.last_epoch = 0",
            f"{_GROUP}['lr'] = {_PICK}",
            "scheduler.get_lr = lambda: [0.5 + k]",
            "scheduler.optimizer = minidl.optim.SGD([weight], lr=9.0) if k else optimizer",
            "scheduler.step = lambda: None",
        ],
    ),
    _scheduler(
        "StepLR",
        "StepLR(optimizer, 2, 0.5)",
        [
            "scheduler.step_size = (2, 1, 5)[k]",
            "scheduler.gamma = (0.5, 0.25, 2.0)[k]",
            "scheduler.last_epoch = 7",
        ],
    ),
    _scheduler(
        "MultiStepLR",
        "MultiStepLR(optimizer, [2, 6], 0.5)",
        [
            "scheduler.milestones = [3, 4, 7]",
            "scheduler.milestones.append(5 + k)",
            "scheduler.gamma = 0.25 + k",
        ],
    ),
    _scheduler(
        "LambdaLR",
        "LambdaLR(optimizer, factor)",
        [
            "RATE[0] = 0.9 - 0.2 * k",
            "scheduler.lr_lambdas[0] = lambda epoch: 0.3 + k",
            "scheduler.lr_lambdas = [lambda epoch: 0.3 + k]",
            "scheduler.base_lrs = [0.2 + k]",
            "scheduler.base_lrs[0] = 0.2 + k",
            "factor.__code__ = (lambda epoch: 0.3).__code__",
        ],
        top="RATE = [0.9]\n\n\ndef factor(epoch):\n    return RATE[0] ** epoch",
    ),
    _scheduler(
        "CosineAnnealingLR",
        "CosineAnnealingLR(optimizer, 9)",
        ["scheduler.T_max = 5 + k", "scheduler.eta_min = 0.05 * k", "scheduler.base_lrs[0] = 0.5"],
    ),
    _scheduler(
        "outside of the step",
        "ExponentialLR(optimizer, 0.9)",
        ["scheduler.step()", "scheduler.gamma = 0.5\nscheduler.step()"],
        _BASE,
    ),
    _scheduler(
        "rates that are read",
        "ExponentialLR(optimizer, 0.9)",
        ["scheduler.step()", "scheduler._last_lr = [0.5 + k]", "scheduler._last_lr[0] = 0.5 + k"],
        "y = x * scheduler.get_last_lr()[0]",
    ),
    _scheduler(
        "epochs that are read",
        "ExponentialLR(optimizer, 0.9)",
        ["scheduler.step()", "scheduler.last_epoch = 4 + k"],
        "y = x * (1 + scheduler.last_epoch)",
    ),
    _scheduler(
        "another scheduler",
        "ExponentialLR(optimizer, 0.9)",
        ["scheduler = minidl.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)"],
        declare="scheduler",
    ),
    _scheduler(
        "warm-up that the step counts",
        "ExponentialLR(optimizer, 0.9)",
        [f"{_GROUP}['lr'] = {_PICK}"],
        "scheduler.step()\ny = x.tanh() if scheduler.last_epoch < 4 else x.exp()",
    ),
)

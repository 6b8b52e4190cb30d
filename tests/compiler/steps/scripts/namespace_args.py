"""A script that reads its options from a global ``args`` wherever it needs them."""

from argparse import Namespace

import minidl
from minidl import nn

args = Namespace(lr=0.05, clip=1.0, loss="mse", l1=1e-3, amp=False)
model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1))
optimizer = minidl.optim.AdamW(model.parameters(), lr=args.lr)
losses = {"mse": nn.MSELoss(), "mae": nn.L1Loss(), "huber": nn.SmoothL1Loss(beta=0.5)}


def train_iter(x, y):
    pred = model(x)
    loss = losses[args.loss](pred, y)
    if args.l1 > 0:
        loss = loss + args.l1 * sum(p.abs().sum() for p in model.parameters())
    optimizer.zero_grad()
    loss.backward()
    if args.clip:
        nn.utils.clip_grad_norm_(model.parameters(), args.clip)
    optimizer.step()
    return pred, loss

#!/usr/bin/python3
"""mnist against PyTorch: the parameters after some steps from the same weights and images, alone and with two synchronous replicas.

Usage: mnist_vs_torch.py MNIST. Initial weights and the order of the images are made here by the rules that trainers/README.md states. Prints TAP.
"""
import math
import os
import socket
import struct
import subprocess
import sys
import tempfile

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch

MNIST = sys.argv[1]
SEED, HIDDEN, BATCH, STEPS, IMAGES = 7, 30, 16, 60, 5000
MASK, GOLDEN = (1 << 64) - 1, 0x9E3779B97F4A7C15


def mix(x):
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & MASK
    return x ^ (x >> 31)


class Rng:
    def __init__(self, *parts):
        self.state, self.spare = 0, None
        for part in parts:
            self.state = mix(self.state + part + GOLDEN & MASK)

    def next(self):
        self.state = self.state + GOLDEN & MASK
        return mix(self.state)

    def below(self, limit):
        while True:
            x = self.next()
            if x < MASK - MASK % limit:
                return x % limit

    def normal(self):
        if self.spare is not None:
            x, self.spare = self.spare, None
            return x
        u, v = ((self.next() >> 11) + 1) * 2.0**-53, (self.next() >> 11) * 2.0**-53
        radius = math.sqrt(-2 * math.log(u))
        self.spare = radius * math.sin(2 * math.pi * v)
        return radius * math.cos(2 * math.pi * v)

    def shuffle(self, some):
        for i in range(len(some), 1, -1):
            j = self.below(i)
            some[i - 1], some[j] = some[j], some[i - 1]


def weights(row, deviation):
    rng, out = Rng(SEED, 20, row), []
    while len(out) < HIDDEN:
        x = rng.normal()
        if abs(x) <= 2:
            out.append(deviation * x)
    return out


def first_epoch():
    rng, order = Rng(SEED, 22, 0), []
    for first in range(0, IMAGES, 4096):
        window = list(range(first, min(first + 4096, IMAGES)))
        rng.shuffle(window)
        order += window
    return order


def train(images, labels, batch):
    w1 = torch.tensor([weights(row, 1 / 28) for row in range(784)], dtype=torch.float32, requires_grad=True)
    w2 = torch.tensor([weights(785 + c, 1 / math.sqrt(HIDDEN)) for c in range(10)], dtype=torch.float32).T.contiguous().requires_grad_()
    b1, b2 = torch.zeros(HIDDEN, requires_grad=True), torch.zeros(10, requires_grad=True)
    params, order = [w1, b1, w2, b2], first_epoch()
    adam = torch.optim.Adam(params, lr=0.01)
    for step in range(STEPS):
        index = order[step * batch : (step + 1) * batch]
        adam.zero_grad()
        z = torch.relu(images[index] @ w1 + b1) @ w2 + b2
        torch.nn.functional.cross_entropy(z, labels[index]).backward()
        adam.step()
    return np.concatenate([p.detach().numpy().ravel() for p in params])


def mnist(folder, *options, env=None):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MUSTER_")}
    return subprocess.Popen([MNIST, "--data_dir", folder, "--log_dir", folder, "--hidden_units", str(HIDDEN), "--batch_size", str(BATCH),
                             "--seed", str(SEED), *map(str, options)], stdout=subprocess.DEVNULL, env=dict(clean, **(env or {})))


def hosts(count):
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    names = [f"127.0.0.1:{s.getsockname()[1]}" for s in sockets]
    for s in sockets:
        s.close()
    return ",".join(names)


def model(folder):
    return np.frombuffer(open(folder + "/mnist.model", "rb").read()[24:], np.float32)


def check(number, name, got, wanted):
    # Adam divides by the size of a gradient: where that is nearly 0, its rounding decides more than elsewhere.
    apart = np.abs(got - wanted)
    good = got.shape == wanted.shape and np.quantile(apart, 0.999) < 1e-5 and apart.max() < 1e-3 and np.abs(wanted).max() > 0.3
    print(f"{'ok' if good else 'not ok'} {number} - {name}: 0.999 of all are less than {np.quantile(apart, 0.999):.1e} apart, all {apart.max():.1e}")
    return good


def main():
    g = np.random.default_rng(5)
    kinds = g.integers(0, 256, (10, 784))
    labels = g.integers(0, 10, IMAGES)
    images = (np.clip(kinds[labels] + g.integers(-120, 120, (IMAGES, 784)), 0, 255) * (np.arange(784) > 50)).astype(np.uint8)
    with tempfile.TemporaryDirectory(prefix="mnist-test-") as folder:
        for name in ("train", "t10k"):
            with open(f"{folder}/{name}-images-idx3-ubyte", "wb") as f:
                f.write(struct.pack(">IIII", 0x803, IMAGES, 28, 28) + images.tobytes())
            with open(f"{folder}/{name}-labels-idx1-ubyte", "wb") as f:
                f.write(struct.pack(">II", 0x801, IMAGES) + labels.astype(np.uint8).tobytes())
        x, y = torch.tensor(images, dtype=torch.float32) / 255, torch.tensor(labels)
        good = mnist(folder, "--train_steps", STEPS).wait(60) == 0
        good &= check(1, "alone", model(folder), train(x, y, BATCH))
        env = {"PS_HOSTS": hosts(2), "WORKER_HOSTS": hosts(2)}
        all = [mnist(folder, "--sync_replicas", "--train_steps", STEPS, env={**env, "JOB_NAME": role, "TASK_INDEX": str(i)})
               for role in ("ps", "worker") for i in (0, 1)]
        good &= [p.wait(60) for p in all] == [0] * 4
        good &= check(2, "two synchronous replicas, as one process with twice the batch", model(folder), train(x, y, 2 * BATCH))
    print("1..2")
    return 0 if good else 1


sys.exit(main())

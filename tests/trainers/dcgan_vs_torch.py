#!/usr/bin/python3
"""dcgan against PyTorch: the first 10 iterations' losses from the same weights, noise and images, to 1e-3 relative.

Usage: dcgan_vs_torch.py DCGAN MPIEXEC

On 1 rank (no mpiexec) and on 2 (PyTorch with DistributedDataParallel over gloo). Everything is made here: the images, the files dcgan reads
them from, the initial weights, the noise, and the order of the images, by the rules that trainers/README.md states. Prints TAP.
"""
import json
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
import torch.distributed as dist
import torch.nn as nn

NOISE = 100
SEED = 7
TOLERANCE = 1e-3
NAMES = ["Loss_D", "Loss_G", "D_x", "D_G_z1", "D_G_z2"]

# name, ranks, data set, channels, edge, images, batch, iterations, initial weights, seed. The number of images is chosen so that the last batch of
# an epoch is smaller, the data ends more than once within the iterations, and two ranks cannot share it evenly.
#
# Initial weights are (deviation of all layers but each network's last, deviation of the last, mean of batch norm's gamma). Adam's first steps are
# hardly more than the signs of the gradients. With DCGAN's own 0.02, 0.02, 1 a step changes the weights by a per cent, all at once: what
# rounding does to one activation near zero grows two- or threefold with each iteration. PyTorch in float32 and PyTorch in float64 are then 16 %
# apart after ten, so no two programs could be compared to 1e-3. CALM weights compute the same kind of images and logits (batch norm makes the
# scale of what is before it irrelevant, and 0.3 * 0.0667 = 1 * 0.02), but a step changes them less; over 25 seeds two instruction sets of one
# processor are then at most 8e-4 apart, and with the seeds of the 64 x 64 cases 1e-4. DCGAN's own are compared over the one iteration that
# can be, whose last two figures already need the discriminator's update.
OWN = (0.02, 0.02, 1.0)
CALM = (2.0, 0.0667, 0.3)
CASES = [
    ("1 rank, 64 x 64 grey", 1, "mnist", 1, 64, 60, 8, 10, CALM, 1),
    ("2 ranks, 64 x 64 grey", 2, "mnist", 1, 64, 59, 8, 10, CALM, 54),
    ("1 rank, 32 x 32 colour", 1, "cifar10", 3, 32, 57, 16, 10, CALM, 1),
    ("1 rank, 64 x 64 grey, DCGAN's own weights", 1, "mnist", 1, 64, 60, 8, 1, OWN, 11),
]

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15


def mix(x):
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & MASK
    return x ^ (x >> 31)


def epoch_order(total, epoch):
    """The shuffle of one epoch: splitmix64 seeded by (seed, 1, epoch), Fisher-Yates from the end."""
    state = 0
    for part in (SEED, 1, epoch):
        state = mix(state + part + GOLDEN & MASK)
    order = list(range(total))
    for i in range(total, 1, -1):
        while True:
            state = state + GOLDEN & MASK
            x = mix(state)
            if x < MASK - MASK % i:
                break
        j = x % i
        order[i - 1], order[j] = order[j], order[i - 1]
    return order


def batches(total, batch, rank, size):
    """What DistributedSampler and DataLoader give: wrapped so that all ranks get equally many, the last batch smaller."""
    epoch = 0
    while True:
        order = epoch_order(total, epoch)
        count = -(-total // size)
        order = (order + order)[: count * size]
        mine = order[rank : count * size : size]
        for at in range(0, count, batch):
            yield mine[at : at + batch]
        epoch += 1


def make_images(count, channels, edge):
    """Smooth blobs, so that there is something to learn; as bytes."""
    g = np.random.default_rng(3)
    y, x = np.mgrid[0:edge, 0:edge] / edge
    out = np.empty((count, channels, edge, edge), np.uint8)
    for i in range(count):
        for c in range(channels):
            cx, cy, r = g.uniform(0.2, 0.8, 3)
            out[i, c] = 255 * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (0.02 + 0.1 * r)) + g.integers(0, 1 + 40 * (x > y))  % 40
    return out


def write_images(folder, dataset, images):
    if dataset == "mnist":
        n, _, h, w = images.shape
        with open(folder + "/train-images-idx3-ubyte", "wb") as f:
            f.write(struct.pack(">IIII", 0x803, n, h, w) + images.tobytes())
    else:
        with open(folder + "/data_batch_1.bin", "wb") as f:
            for i, image in enumerate(images):
                f.write(bytes([i % 10]) + image.tobytes())


def generator(channels, edge):
    width = 64 * edge // 8
    layers = [nn.ConvTranspose2d(NOISE, width, 4, 1, 0, bias=False), nn.BatchNorm2d(width), nn.ReLU(True)]
    while width > 64:
        layers += [nn.ConvTranspose2d(width, width // 2, 4, 2, 1, bias=False), nn.BatchNorm2d(width // 2), nn.ReLU(True)]
        width //= 2
    return nn.Sequential(*layers, nn.ConvTranspose2d(width, channels, 4, 2, 1, bias=False), nn.Tanh())


def discriminator(channels, edge):
    width = 64
    layers = [nn.Conv2d(channels, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, inplace=True)]
    while width < 64 * edge // 8:
        layers += [nn.Conv2d(width, width * 2, 4, 2, 1, bias=False), nn.BatchNorm2d(width * 2), nn.LeakyReLU(0.2, inplace=True)]
        width *= 2
    return nn.Sequential(*layers, nn.Conv2d(width, 1, 4, 1, 0, bias=False), nn.Sigmoid())


def init_weights(net, weights):
    inner, last, gamma = weights
    for m in net.modules():
        if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(m.weight, 0.0, last if m.out_channels <= 3 else inner)
        elif isinstance(m, nn.BatchNorm2d):
            nn.init.normal_(m.weight, gamma, 0.02 * gamma)
            nn.init.zeros_(m.bias)


def flat(net):
    return np.concatenate([p.detach().numpy().ravel() for p in net.parameters()]).astype("<f4")


def make_networks(channels, edge, weights, seed):
    torch.manual_seed(1000 + seed)
    g, d = generator(channels, edge), discriminator(channels, edge)
    init_weights(g, weights)
    init_weights(d, weights)
    return g, d


def make_noise(iterations, ranks, batch, seed):
    return np.random.default_rng(2000 + seed).standard_normal((iterations, ranks, batch, NOISE)).astype("<f4")


def train_torch(case, rank):
    """The training loop of the well-known example; returns [(Loss_D, Loss_G, ...)] of this rank."""
    _, ranks, _, channels, edge, total, batch, iterations, weights, seed = case
    torch.set_num_threads(1)
    g, d = make_networks(channels, edge, weights, seed)
    if ranks > 1:
        g = nn.parallel.DistributedDataParallel(g, broadcast_buffers=False)
        d = nn.parallel.DistributedDataParallel(d, broadcast_buffers=False)
    images = torch.from_numpy((make_images(total, channels, edge).astype(np.float32) / 255 - 0.5) / 0.5)
    noise = make_noise(iterations, ranks, batch, seed)
    bce = nn.BCELoss()
    adam_d = torch.optim.Adam(d.parameters(), lr=2e-4, betas=(0.5, 0.999))
    adam_g = torch.optim.Adam(g.parameters(), lr=2e-4, betas=(0.5, 0.999))
    result = []
    for step, index in zip(range(iterations), batches(total, batch, rank, ranks)):
        n = len(index)
        z = torch.from_numpy(noise[step, rank, :n]).view(n, NOISE, 1, 1)
        one, zero = torch.ones(n), torch.zeros(n)
        d.zero_grad()
        p = d(images[index]).view(-1)
        loss_real = bce(p, one)
        loss_real.backward()
        d_x = p.mean().item()
        fake = g(z)
        p = d(fake.detach()).view(-1)
        loss_fake = bce(p, zero)
        loss_fake.backward()
        d_g_z1 = p.mean().item()
        adam_d.step()
        g.zero_grad()
        p = d(fake).view(-1)
        loss_g = bce(p, one)
        loss_g.backward()
        adam_g.step()
        result.append(((loss_real + loss_fake).item(), loss_g.item(), d_x, d_g_z1, p.mean().item()))
    return result


def torch_rank(case_number, rank, port, out):
    """One process of several: entered by running this file again."""
    case = CASES[case_number]
    if case[1] > 1:
        dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=case[1])
    with open(out, "w") as f:
        json.dump(train_torch(case, rank), f)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start_torch(case_number, folder):
    ranks, port = CASES[case_number][1], free_port()
    env = dict(os.environ, GLOO_SOCKET_IFNAME="lo")
    me = [sys.executable, os.path.abspath(__file__), "--torch", str(case_number)]
    return [subprocess.Popen(me + [str(r), str(port), f"{folder}/torch-{r}.json"], env=env) for r in range(ranks)]


def finish_torch(procs, folder):
    if any([p.wait() for p in procs]):
        raise SystemExit("PyTorch failed")
    return [json.load(open(f"{folder}/torch-{r}.json")) for r in range(len(procs))]


def run_dcgan(case, folder, dcgan, mpiexec):
    _, ranks, dataset, channels, edge, total, batch, iterations, weights, seed = case
    g, d = make_networks(channels, edge, weights, seed)
    write_images(folder, dataset, make_images(total, channels, edge))
    g, d, z = flat(g), flat(d), make_noise(iterations, ranks, batch, seed).ravel()
    with open(folder + "/init", "wb") as f:
        f.write(b"dcgan-1\n" + struct.pack("<QQQ", len(g), len(d), len(z)) + g.tobytes() + d.tobytes() + z.tobytes())
    args = [dcgan, "--dataset", dataset, "--dataroot", folder, "--image_size", str(edge), "--batch_size", str(batch)]
    args += ["--num_epochs", "100", "--max_iters", str(iterations), "--seed", str(SEED), "--threads", "1"]
    args += ["--init", folder + "/init", "--out_folder", folder + "/out"]
    # The lines have four decimals; the metrics have all. mpiexec passes no descriptors on, so a shell opens each rank's own.
    script = 'exec 9>"$0/metrics-${PMI_RANK:-0}" && MUSTER_METRICS_FD=9 exec "$@"'
    command = ["/bin/sh", "-c", script, folder] + args
    text = subprocess.run(([mpiexec, "-n", str(ranks)] if ranks > 1 else []) + command, check=True, stdout=subprocess.PIPE, text=True).stdout
    result = []
    for r in range(ranks):
        steps = [dict() for _ in range(iterations)]
        for line in open(f"{folder}/metrics-{r}"):
            m = json.loads(line)
            steps[m["step"] - 1][m["name"]] = m["value"]
        result.append([[s[n] for n in NAMES] for s in steps])
    return result, text


def check_lines(case, text):
    """One line an iteration and rank, one line an epoch and rank."""
    ranks, total, batch, iterations = case[1], case[5], case[6], case[7]
    number = r"\d+\.\d{4}"
    line = rf"\[epoch: \d+/\d+\]\[iteration: \d+/\d+\] rank: [01] Loss_D: {number} Loss_G: {number} D\(x\): {number} "
    line += rf"D\(G\(z\)\): {number} / {number} time: {number}"
    per_epoch = -(-(-(-total // ranks)) // batch)
    lines = [bool(re.fullmatch(line, l)) for l in text.splitlines()]
    epochs = [l for l in text.splitlines() if re.fullmatch(rf"\[epoch: \d+/\d+\] rank: [01] time: {number}", l)]
    return sum(lines) == ranks * iterations and len(epochs) == ranks * -(-iterations // per_epoch) and len(lines) == sum(lines) + len(epochs)


def compare(case, ours, theirs):
    worst, ok = 0, True
    for rank in range(case[1]):
        for step in range(case[7]):
            for k, name in enumerate(NAMES):
                a, b = ours[rank][step][k], theirs[rank][step][k]
                off = abs(a - b) / max(abs(b), 1e-30)
                worst = max(worst, off)
                if not off <= TOLERANCE:
                    print(f"# rank {rank} iteration {step + 1} {name}: {a:.7g}, PyTorch has {b:.7g}, {off:.2e} apart")
                    ok = False
    print(f"# {case[0]}: at most {worst:.2e} apart; Loss_D {theirs[0][0][0]:.4f} to {theirs[0][-1][0]:.4f}")
    return ok


def main(dcgan, mpiexec):
    print(f"1..{2 * len(CASES)}")
    failed = 0
    with tempfile.TemporaryDirectory() as top:
        folders = [f"{top}/{i}" for i in range(len(CASES))]
        for f in folders:
            os.mkdir(f)
        started = [start_torch(i, f) for i, f in enumerate(folders)]  # all at once: PyTorch takes nearly all the time
        try:
            for i, case in enumerate(CASES):
                ours, text = run_dcgan(case, folders[i], dcgan, mpiexec)
                theirs = finish_torch(started[i], folders[i])
                checks = [(compare(case, ours, theirs), "losses as PyTorch's"), (check_lines(case, text), "output lines")]
                for k, (ok, what) in enumerate(checks):
                    print(f"{'ok' if ok else 'not ok'} {2 * i + k + 1} - {case[0]}: {what}", flush=True)
                    failed += not ok
        finally:
            for p in sum(started, []):
                p.kill()
                p.wait()
    return 1 if failed else 0


if __name__ == "__main__":
    if sys.argv[1] == "--torch":
        torch_rank(int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
    else:
        sys.exit(main(sys.argv[1], sys.argv[2]))

#!/usr/bin/python3
"""The well-known DCGAN training script in PyTorch, on Fashion-MNIST's images or their like, without its data loader and printing.

Usage: torch_dcgan.py BATCH ITERATIONS RANK SIZE PORT

Prints, for each iteration, its seconds; at the end "peak KILOBYTES". Threads are OMP_NUM_THREADS; SIZE > 1 is DistributedDataParallel over gloo.
"""
import os
import resource
import sys
import time

import torch
import torch.distributed as dist
import torch.nn as nn

batch, iterations, rank, size, port = (int(a) for a in sys.argv[1:6])
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
torch.manual_seed(1)


def wide(*sizes):
    return zip(sizes, sizes[1:])


up = [nn.ConvTranspose2d(100, 512, 4, 1, 0, bias=False), nn.BatchNorm2d(512), nn.ReLU(True)]
for a, b in wide(512, 256, 128, 64):
    up += [nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU(True)]
generator = nn.Sequential(*up, nn.ConvTranspose2d(64, 1, 4, 2, 1, bias=False), nn.Tanh())
down = [nn.Conv2d(1, 64, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, inplace=True)]
for a, b in wide(64, 128, 256, 512):
    down += [nn.Conv2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b), nn.LeakyReLU(0.2, inplace=True)]
discriminator = nn.Sequential(*down, nn.Conv2d(512, 1, 4, 1, 0, bias=False), nn.Sigmoid())
for net in generator, discriminator:
    for m in net.modules():
        if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(m.weight, 0.0, 0.02)
        elif isinstance(m, nn.BatchNorm2d):
            nn.init.normal_(m.weight, 1.0, 0.02)
            nn.init.zeros_(m.bias)
if size > 1:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=size)
    generator = nn.parallel.DistributedDataParallel(generator, broadcast_buffers=False)
    discriminator = nn.parallel.DistributedDataParallel(discriminator, broadcast_buffers=False)

bce = nn.BCELoss()
adam_d = torch.optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
adam_g = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
images = torch.rand(batch, 1, 64, 64) * 2 - 1
one, zero = torch.ones(batch), torch.zeros(batch)
for step in range(iterations):
    start = time.monotonic()
    discriminator.zero_grad()
    loss_real = bce(discriminator(images).view(-1), one)
    loss_real.backward()
    fake = generator(torch.randn(batch, 100, 1, 1))
    loss_fake = bce(discriminator(fake.detach()).view(-1), zero)
    loss_fake.backward()
    adam_d.step()
    generator.zero_grad()
    loss = bce(discriminator(fake).view(-1), one)
    loss.backward()
    adam_g.step()
    loss.item()
    print(f"{time.monotonic() - start:.4f}", flush=True)
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)

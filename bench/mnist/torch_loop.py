"""The same training in one process of PyTorch: torch_loop.py DATA_DIR STEPS. Prints steps a second, reading the images not counted."""
import gzip
import sys
import time

import numpy as np
import torch

torch.set_num_threads(1)  # faster than two at this size
folder, steps = sys.argv[1], int(sys.argv[2])
images = np.frombuffer(gzip.open(folder + "/train-images-idx3-ubyte.gz").read()[16:], np.uint8).reshape(-1, 784)
labels = np.frombuffer(gzip.open(folder + "/train-labels-idx1-ubyte.gz").read()[8:], np.uint8)
x, y = torch.tensor(images, dtype=torch.float32) / 255, torch.tensor(labels, dtype=torch.int64)
net = torch.nn.Sequential(torch.nn.Linear(784, 100), torch.nn.ReLU(), torch.nn.Linear(100, 10))
adam = torch.optim.Adam(net.parameters(), lr=0.01)
order = torch.randperm(len(x))
for step in range(-50, steps):
    if step == 0:
        start = time.perf_counter()
    at = (step + 50) * 20 % len(x)
    index = order[at : at + 20]
    adam.zero_grad()
    torch.nn.functional.cross_entropy(net(x[index]), y[index]).backward()
    adam.step()
print(steps / (time.perf_counter() - start))

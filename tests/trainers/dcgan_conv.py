#!/usr/bin/python3
"""dcgan's two ways to convolve, over 200 iterations: --conv winograd is no farther from --conv direct than single precision explains.

Usage: dcgan_conv.py DCGAN

Training multiplies what rounding does: two programs that are both right drift apart. How far is measured here, not assumed: the direct way is
also run from weights that are moved by one unit in their last place, up or down by chance, which no program can tell from the same weights.
Where those runs are, the direct way cannot say what is right. Winograd's way is to be within FACTOR of their distance, at each tenth of the
way, and over all. Weights are CALM, as dcgan_vs_torch.py explains. Prints TAP.
"""
import json
import struct
import subprocess
import sys
import tempfile

import dcgan_vs_torch as base
import numpy as np

ITERATIONS, BATCH, EDGE, IMAGES, MOVED = 200, 8, 32, 64, 2

# By so much more than the direct way does Winograd's round (winograd_test.c: 2e-6, where sums of as many products have some 2e-7).
FACTOR = 10.0


def write_init(path, g, d, z):
    with open(path, "wb") as f:
        f.write(b"dcgan-1\n" + struct.pack("<QQQ", len(g), len(d), len(z)) + g.tobytes() + d.tobytes() + z.tobytes())


def moved(weights, random):
    to = np.where(random.integers(0, 2, len(weights)), np.float32(np.inf), np.float32(-np.inf))
    return np.nextafter(weights, to).astype("<f4")


def run(dcgan, folder, init, conv):
    args = [dcgan, "--dataset", "mnist", "--dataroot", folder, "--image_size", str(EDGE), "--batch_size", str(BATCH), "--num_epochs", "1000"]
    args += ["--max_iters", str(ITERATIONS), "--threads", "1", "--init", init, "--out_folder", folder + "/out", "--conv", conv]
    script = 'exec 9>"$0" && MUSTER_METRICS_FD=9 exec "$@"'
    subprocess.run(["/bin/sh", "-c", script, folder + "/metrics"] + args, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    told = [json.loads(line) for line in open(folder + "/metrics")]
    return np.array([[m["value"] for m in told if m["name"] == name] for name in ("Loss_D", "Loss_G")])


def distance(a, b):
    """Root mean square of what lies between two runs, in each tenth of the way."""
    return np.sqrt(((a - b) ** 2).reshape(2, 10, -1).mean(axis=(0, 2)))


def main(dcgan):
    print("1..3")
    with tempfile.TemporaryDirectory() as folder:
        base.write_images(folder, "mnist", base.make_images(IMAGES, 1, EDGE))
        nets = [base.flat(n) for n in base.make_networks(1, EDGE, base.CALM, 1)]
        noise = base.make_noise(ITERATIONS, 1, BATCH, 1).ravel()
        write_init(folder + "/init", *nets, noise)
        direct, winograd = run(dcgan, folder, folder + "/init", "direct"), run(dcgan, folder, folder + "/init", "winograd")
        others = []
        for i in range(MOVED):
            random = np.random.default_rng(i)
            write_init(folder + "/moved", *[moved(n, random) for n in nets], noise)
            others.append(run(dcgan, folder, folder + "/moved", "direct"))
    explained = np.max([distance(direct, o) for o in others], axis=0)
    got = distance(direct, winograd)
    for k in range(10):
        print(f"# iterations {20 * k + 1} to {20 * k + 20}: winograd {got[k]:.1e} from direct, moved weights {explained[k]:.1e}")
    checks = [
        (direct.shape == (2, ITERATIONS) and np.isfinite(winograd).all() and np.ptp(direct[0]) > 0.1, "200 iterations that learn something"),
        ((got <= FACTOR * np.maximum.accumulate(explained)).all(), "winograd is as near to direct as one unit in the last place, at each tenth"),
        ((got > 0).any() and got.mean() <= FACTOR * explained.mean(), "and over all, and is another computation"),
    ]
    for i, (ok, what) in enumerate(checks):
        print(f"{'ok' if ok else 'not ok'} {i + 1} - {what}")
    return 0 if all(ok for ok, _ in checks) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

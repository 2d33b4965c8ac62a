#!/usr/bin/python3
"""dcgan from outside: options, exit status, lines, pictures, data layouts, the environment muster sets. Usage: dcgan_cli.py DCGAN. Prints TAP."""
import gzip
import json
import os
import pickle
import re
import struct
import subprocess
import sys
import tempfile
import zlib

import numpy as np

DCGAN = sys.argv[1]
SMALL = ["--image_size", "16", "--batch_size", "4", "--threads", "1"]
OPTIONS = "dataset dataroot image_size batch_size num_epochs max_iters test_data out_folder seed threads init checkpoint every resume generate help".split()
results = []


def check(ok, what, detail=""):
    results.append(bool(ok))
    print(f"{'ok' if ok else 'not ok'} {len(results)} - {what}")
    if not ok:
        print("# " + str(detail).replace("\n", "\n# "))
    sys.stdout.flush()


def run(*args, env=None):
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MUSTER_", "PMI_"))}
    r = subprocess.run([DCGAN, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(clean, **(env or {})), timeout=120)
    return r.returncode, r.stdout, r.stderr


def losses(text):
    return re.findall(r"Loss_D: (\S+) Loss_G: (\S+) D\(x\): (\S+) D\(G\(z\)\): (\S+) / (\S+) ", text)


def png_size(path):
    """Width and height, after every chunk's checksum was found right."""
    data = open(path, "rb").read()
    assert data[:8] == b"\x89PNG\r\n\x1a\n", path
    at, names = 8, []
    while at < len(data):
        (size,) = struct.unpack(">I", data[at : at + 4])
        assert zlib.crc32(data[at + 4 : at + 8 + size]) == struct.unpack(">I", data[at + 8 + size : at + 12 + size])[0], path
        names.append(data[at + 4 : at + 8])
        at += 12 + size
    assert names[0] == b"IHDR" and names[-1] == b"IEND", path
    return struct.unpack(">II", data[16:24])


def test_options():
    code, out, err = run("--help")
    check(code == 0 and all(f"--{o}" in out for o in OPTIONS), "--help lists every option", out)
    for args, words in [
        (["--no_such"], "--no_such"),
        (["-x"], "-x"),
        (["word"], "'word' is not an option"),
        (["--batch_size"], "needs a value"),
        (["--batch_size", "0"], "--batch_size is '0', expected a whole number from 1"),
        (["--batch_size", "12x"], "--batch_size is '12x'"),
        (["--seed", "-1"], "--seed is '-1'"),
        (["--image_size", "48"], "expected a power of two"),
        (["--image_size", "8"], "--image_size is '8'"),
        (["--dataset", "imagenet"], "expected cifar10, mnist, fashion, folder or auto"),
        (["--dataset", "cifar10"], "needs --dataroot"),
        (["--dataset", "folder", "--dataroot", ".", "--test_data"], "no test split"),
        (["--out_folder", ""], "--out_folder is empty"),
    ]:
        code, out, err = run(*args)
        check(code == 2 and words in err and err.count("\n") == 1 and not out, f"exit 2: dcgan {' '.join(args)}", (code, out, err))


def write_idx(path, images):
    n, h, w = images.shape
    with (gzip.open if path.endswith(".gz") else open)(path, "wb") as f:
        f.write(struct.pack(">IIII", 0x803, n, h, w) + images.tobytes())


def test_run(top):
    g = np.random.default_rng(1)
    data, out = top + "/idx", top + "/out"
    os.mkdir(data)
    write_idx(data + "/train-images-idx3-ubyte.gz", g.integers(0, 256, (11, 28, 28), np.uint8))
    write_idx(data + "/t10k-images-idx3-ubyte", g.integers(0, 256, (5, 28, 28), np.uint8))
    args = ["--dataset", "mnist", "--dataroot", data, *SMALL]
    metrics = open(top + "/metrics", "w+b")
    os.set_inheritable(metrics.fileno(), True)
    r = subprocess.run(
        [DCGAN, *args, "--num_epochs", "9", "--max_iters", "7", "--out_folder", out],
        env=dict(os.environ, MUSTER_METRICS_FD=str(metrics.fileno())), pass_fds=[metrics.fileno()], stdout=subprocess.PIPE, text=True)
    where = re.findall(r"^\[epoch: (\d+)/(\d+)\]\[iteration: (\d+)/(\d+)\] rank: 0 Loss_D: ", r.stdout, re.M)
    expected = [(str(e), "3", str(i), str(n)) for e, n in ((1, 3), (2, 3), (3, 1)) for i in range(1, n + 1)]
    check(r.returncode == 0 and where == expected, "epochs and iterations are counted as they are run", r.stdout)
    check(len(re.findall(r"^\[epoch: \d/3\] rank: 0 time: \d", r.stdout, re.M)) == 3, "each epoch tells its time", r.stdout)
    names = sorted(os.listdir(out))
    check(names == ["fake_samples_epoch_003_iter_00001.png", "real_samples.png"], "the pictures, and nothing half-written", names)
    check(png_size(out + "/" + names[0]) == (8 * 18 + 2, 8 * 18 + 2) and png_size(out + "/" + names[1]) == (8 * 18 + 2, 2 * 18 + 2), "are PNG grids")
    metrics.seek(0)
    told = [json.loads(line) for line in metrics]
    names = ("Loss_D", "Loss_G", "D_x", "D_G_z1", "D_G_z2", "iter_seconds", "exchange_seconds", "input_seconds")
    want = [(n, s) for s in range(1, 8) for n in names]
    check([(m["name"], m["step"]) for m in told] == want, "metrics are JSON lines", told)
    printed = [tuple(f"{m['value']:.4f}" for m in told[8 * i : 8 * i + 5]) for i in range(7)]
    check(printed == losses(r.stdout), "metrics say what the lines say", (printed, r.stdout))
    spent = [(m[5]["value"], m[6]["value"], m[7]["value"]) for m in (told[8 * i : 8 * i + 8] for i in range(7))]
    check(all(whole > made > 0 and exchange == 0 for whole, exchange, made in spent), "an input is part of an iteration, alone nothing is exchanged", spent)

    first = losses(r.stdout)
    again = losses(run(*args, "--num_epochs", "9", "--max_iters", "7", "--out_folder", out)[1])
    other = losses(run(*args, "--num_epochs", "9", "--max_iters", "7", "--out_folder", out, "--seed", "2")[1])
    check(again == first and other != first, "the seed decides", (first, again, other))
    code, text, _ = run(*args, "--num_epochs", "1", "--test_data", "--out_folder", out)
    check(code == 0 and "[iteration: 2/2]" in text, "--test_data takes the test split", text)
    code, text, err = run(*args, "--max_iters", "1", "--out_folder", top + "/no/such")
    check(code == 1 and top + "/no/such" in err, "a folder that cannot be made", (code, err))
    os.truncate(data + "/t10k-images-idx3-ubyte", 100)
    code, text, err = run(*args, "--test_data", "--out_folder", out)
    check(code == 1 and data + "/t10k-images-idx3-ubyte" in err and re.search(r"\.c:\d+: ", err), "a truncated file: file, reason, exit 1", (code, err))


def test_environment(top):
    args = ["--dataset", "mnist", "--dataroot", top + "/idx", *SMALL, "--max_iters", "1", "--out_folder", top + "/out"]
    code, out, err = run(*args, env={"MUSTER_RANK": "0", "MUSTER_SIZE": "1"})
    check(code == 0, "rank and size as MPI has them", err)
    code, out, err = run(*args, env={"MUSTER_RANK": "1", "MUSTER_SIZE": "2"})
    check(code == 1 and "rank 1 of 2, but MPI says rank 0 of 1" in err and not out, "another size than MPI's", (code, err))


def test_cifar_layouts(top):
    """The same images in the binary layout and pickled by this Python: the same losses, the same picture."""
    n = 9
    rows = np.random.default_rng(2).integers(0, 256, (n, 3072), np.uint8)
    labels = [i % 10 for i in range(n)]
    for name in ("binary", "python"):
        os.mkdir(f"{top}/{name}")
    with open(top + "/binary/data_batch_1.bin", "wb") as f:
        for label, row in zip(labels, rows):
            f.write(bytes([label]) + row.tobytes())
    batch = {b"batch_label": b"training batch 1 of 5", b"labels": labels, b"data": rows, b"filenames": [b"%d.png" % i for i in range(n)]}
    with open(top + "/python/data_batch_1", "wb") as f:
        pickle.dump(batch, f, protocol=2)
    got = {}
    for name in ("binary", "python"):
        out = f"{top}/{name}-out"
        code, text, err = run("--dataset", "cifar10", "--dataroot", f"{top}/{name}", *SMALL, "--num_epochs", "1", "--out_folder", out)
        got[name] = (code, losses(text), open(out + "/real_samples.png", "rb").read() if code == 0 else err)
    code, text, err = run("--dataset", "auto", "--dataroot", top + "/binary", *SMALL, "--num_epochs", "1", "--out_folder", top + "/auto-out")
    check(code == 0 and losses(text) == got["binary"][1], "auto finds out that it is CIFAR-10", (code, text, err))
    check(got["binary"][0] == 0 and len(got["binary"][1]) == 3 and got["binary"] == got["python"], "CIFAR-10's two layouts", got)
    batch[b"data"] = np.asfortranarray(rows)
    with open(top + "/python/data_batch_1", "wb") as f:
        pickle.dump(batch, f, protocol=2)
    code, text, err = run("--dataset", "cifar10", "--dataroot", top + "/python", *SMALL, "--out_folder", top)
    check(code == 1 and "C order" in err, "an array in Fortran's order is refused, not scrambled", (code, err))


def test_folder(top):
    """The pictures it makes are pictures it can train on."""
    code, text, err = run("--dataset", "folder", "--dataroot", top + "/out", *SMALL, "--num_epochs", "1", "--out_folder", top + "/folder-out")
    check(code == 0 and "[iteration: 1/1]" in text, "a folder of PNG files", (code, text, err))
    code, auto, err = run("--dataset", "auto", "--dataroot", top + "/out", *SMALL, "--num_epochs", "1", "--out_folder", top + "/folder-out")
    check(code == 0 and losses(auto) == losses(text), "auto takes it for what it is", (code, auto, err))


with tempfile.TemporaryDirectory() as top:
    test_options()
    test_run(top)
    test_environment(top)
    test_cifar_layouts(top)
    test_folder(top)
print(f"1..{len(results)}")
sys.exit(0 if all(results) else 1)

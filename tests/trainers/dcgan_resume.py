#!/usr/bin/python3
"""dcgan's checkpoints: killed anywhere and resumed is never killed, bit for bit; what is no checkpoint is refused; images from one.

Usage: dcgan_resume.py DCGAN MPIEXEC. Prints TAP.
"""
import glob
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import zlib

import numpy as np

DCGAN, MPIEXEC = os.path.abspath(sys.argv[1]), sys.argv[2]
HEAD = 8 + 8 + 9 * 8 + 3 * 8  # bytes before the first float
ENV = {k: v for k, v in os.environ.items() if not k.startswith(("MUSTER_", "PMI_"))}
results = []


def check(ok, what, detail=""):
    results.append(bool(ok))
    print(f"{'ok' if ok else 'not ok'} {len(results)} - {what}")
    if not ok:
        print("# " + str(detail)[:3000].replace("\n", "\n# "))
    sys.stdout.flush()


def write_images(folder, images):
    os.mkdir(folder)
    with open(folder + "/train-images-idx3-ubyte", "wb") as f:
        f.write(struct.pack(">IIII", 0x803, *images.shape) + images.tobytes())


def command(data, out, *more, epochs=2, batch=4):
    """27 images in batches of 4: seven iterations an epoch, the last one smaller."""
    return [DCGAN, "--dataset", "mnist", "--dataroot", data, "--image_size", "16", "--batch_size", str(batch), "--threads", "1",
            "--num_epochs", str(epochs), "--out_folder", out, *more]


def run(args, **more):
    r = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENV, timeout=120, **more)
    return r.returncode, r.stdout, r.stderr


def told(text):
    """(place, rank) to the rest of each whole line; nothing of the time."""
    found = {}
    for line in re.findall(r"^(\[epoch.*)\n", text, re.M):
        place, rank, rest = re.fullmatch(r"(\S.*?) rank: (\d+) (.*?)time: \S+", line).groups()
        found[place, rank] = rest
    return found


def content(path):
    with open(path, "rb") as f:
        return f.read()


def pictures(out):
    return {os.path.basename(p): content(p) for p in glob.glob(out + "/*.png")}


def kill_after_lines(n):
    def wait(p, top):
        text = ""
        while text.count("\n") < n:
            line = p.stdout.readline()
            if not line:
                return text
            text += line
        return text
    return wait


def kill_after_seconds(s):
    def wait(p, top):
        time.sleep(s)  # any moment: that is the test
        return ""
    return wait


def kill_while_writing(p, top):
    end = time.monotonic() + 60
    while p.poll() is None and time.monotonic() < end:
        try:
            if os.stat(top + "/kept/checkpoint.tmp").st_size > 0:
                break
        except FileNotFoundError:
            pass
    return ""


def run_killed(args, top, wait):
    """Starts ARGS, SIGKILLs it when WAIT returns; what it printed."""
    with subprocess.Popen(args, stdout=subprocess.PIPE, text=True, env=ENV, start_new_session=True) as p:
        text = wait(p, top)
        os.kill(p.pid, signal.SIGKILL)
        return text + p.stdout.read()


def test_killed(top, data):
    code, text, err = run(command(data, top + "/plain"))
    plain = told(text)
    check(code == 0 and len(plain) == 14 + 2, "a run without checkpoints", (code, text, err))
    start = time.monotonic()
    code, text, err = run(command(data, top + "/straight", "--checkpoint", top + "/straight-kept", "--every", "1"))
    seconds = time.monotonic() - start
    check(code == 0 and told(text) == plain and pictures(top + "/straight") == pictures(top + "/plain"), "checkpoints change nothing", (text, err))
    check(os.listdir(top + "/straight-kept") == ["checkpoint"], "one file is kept", os.listdir(top + "/straight-kept"))
    end = content(top + "/straight-kept/checkpoint")

    r = random.Random(5)
    waits = [kill_after_lines(n) for n in (1, 2, 7, 8, 9, 15)] + [kill_after_seconds(r.uniform(0, seconds)) for _ in range(6)] + [kill_while_writing] * 4
    out, torn, bad = top + "/killed", 0, []
    for i, wait in enumerate(waits):
        every = str(1 + i % 4) if wait is not kill_while_writing else "1"
        again = command(data, out, "--checkpoint", top + "/kept", "--every", every, "--resume")
        lines = told(run_killed(again, top, wait))
        if os.path.exists(top + "/kept/checkpoint.tmp"):
            torn += os.stat(top + "/kept/checkpoint.tmp").st_size < len(end)
            if i % 2:  # and torn at any other byte
                os.truncate(top + "/kept/checkpoint.tmp", r.randrange(len(end)))
        code, text, err = run(again)
        lines_after = told(text)
        same = all(plain[k] == v for l in (lines, lines_after) for k, v in l.items()) and set(plain) == set(lines) | set(lines_after)
        if code or not same or content(top + "/kept/checkpoint") != end or pictures(out) != pictures(top + "/plain") or os.listdir(top + "/kept") != ["checkpoint"]:
            bad.append((i, code, text, err))
        shutil.rmtree(out)
        shutil.rmtree(top + "/kept")
    check(not bad, f"killed at {len(waits)} places and resumed: losses, state and pictures of a run never killed", bad)
    check(torn > 0, "some of them in the middle of writing a checkpoint", torn)
    shutil.rmtree(top + "/straight-kept")


def test_go_on(top, data):
    longer = told(run(command(data, top + "/long-out", epochs=3))[1])
    args = ["--checkpoint", top + "/go", "--resume"]
    code, text, _ = run(command(data, top + "/go-out", *args))
    check(code == 0 and f"{top}/go: no checkpoint, starting from the beginning\n" in text, "--resume where there is none begins and says so", text)
    code, text, err = run(command(data, top + "/go-out", *args))
    check(code == 0 and not told(text) and "going on after iteration 14\n" in text, "at its end nothing is left to do", (code, text, err))
    shutil.copytree(top + "/go", top + "/two-epochs")
    code, text, err = run(command(data, top + "/go-out", *args, epochs=3))
    rest = {p[p.index("]") :]: v for p, v in ((k[0], v) for k, v in longer.items()) if p.startswith("[epoch: 3/3")}
    check(code == 0 and len(rest) == 8 and {k[0][k[0].index("]") :]: v for k, v in told(text).items()} == rest, "more epochs go on from the end of fewer", (text, rest))


def refused(top, what, args, *words, **more):
    code, text, err = run(args, **more)
    first = err.split("\n")[0]  # MPI adds its own
    check(code == 1 and not told(text) and all(w in first for w in words), what, (code, text, err))


def test_refused(top, data):
    kept, path = top + "/refuse", top + "/refuse/checkpoint"
    shutil.copytree(top + "/two-epochs", kept)
    good = content(path)
    again = command(data, top + "/refuse-out", "--checkpoint", kept, "--resume", epochs=3)
    size = len(good)

    def with_crc(body):
        return body + struct.pack("<Q", zlib.crc32(body))

    for what, bytes_, words in [
        ("empty", b"", "not a checkpoint"),
        ("torn in its head", good[: HEAD - 1], "not a checkpoint"),
        ("foreign", b"\x89PNG\r\n\x1a\n" + good[8:], "not a checkpoint"),
        ("torn", good[: size // 2], f"has {size // 2} bytes, expected {size}"),
        ("torn by a byte", good[:-1], f"has {size - 1} bytes, expected {size}"),
        ("longer", good + b"\0", f"has {size + 1} bytes, expected {size}"),
        ("of another version", with_crc(good[:8] + struct.pack("<Q", 2) + good[16:-8]), "version 2, expected 1"),
        ("of a negative iteration", with_crc(good[: HEAD - 24] + struct.pack("<q", -1) + good[HEAD - 16 : -8]), "claims 18446744073709551615 iterations"),
        ("of absurd counts", with_crc(good[: HEAD - 16] + struct.pack("<QQ", 1 << 62, 1 << 62) + good[HEAD:-8]), "damaged"),
        ("of counts whose product wraps round", with_crc(good[: HEAD - 16] + struct.pack("<QQ", 1 << 63, 1 << 63) + good[HEAD:-8]), "damaged"),
    ] + [(f"with byte {at} changed", good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :], "") for at in (0, 8, 16, 80, HEAD - 1, HEAD, size // 2, size - 9, size - 1)]:
        with open(path, "wb") as f:
            f.write(bytes_)
        refused(top, f"a checkpoint {what}", again, path, words)
        assert content(path) == bytes_
    with open(path, "wb") as f:
        f.write(good)

    refused(top, "one that is there is not written over without --resume", again[: again.index("--resume")], path, "--resume goes on from it")
    refused(top, "another seed", again + ["--seed", "2"], path, "--seed was 1 when it was written and is 2 now")
    refused(top, "another batch size", again + ["--batch_size", "5"], path, "--batch_size was 4")
    refused(top, "another image size", again + ["--image_size", "32"], path, "--image_size was 16")
    refused(top, "convolutions another way", again + ["--conv", "direct"], path, "--conv (0 direct, 1 winograd) was 1 when it was written and is 0 now")
    refused(top, "another image", again + ["--dataroot", top + "/other"], path, "the checksum of the images was")
    refused(top, "fewer images", again + ["--dataroot", top + "/fewer"], path, "the number of images was 27 when it was written and is 26 now")
    # Into a file: what a rank says just before it aborts, mpiexec may not pass on.
    code, text, err = run([MPIEXEC, "-n", "2", "/bin/sh", "-c", f'exec "$0" "$@" 2>>{top}/said', *again])
    with open(top + "/said") as f:
        said = f.read()
    check(code == 1 and not told(text) and "the number of ranks was 1 when it was written and is 2 now" in said, "another number of ranks", (code, text, said))
    check(content(path) == good and os.listdir(kept) == ["checkpoint"], "and all of them leave it as it is")


def test_cannot_write(top, data):
    """On a disk of its own that has room for one checkpoint and not for two."""
    script = 'mount -t tmpfs -o size=8m none "$0" && "$@"; s=$?; ls "$0"; cp "$0/checkpoint" "$0.after"; exit $s'
    os.mkdir(top + "/disk")
    args = command(data, top + "/full-out", "--checkpoint", top + "/disk", "--every", "3")
    code, text, err = run(["unshare", "-rm", "/bin/sh", "-c", script, top + "/disk", *args])
    words = top + "/disk/checkpoint.tmp: cannot write the checkpoint: No space left on device"
    check(code == 1 and words in err and len(told(text)) == 6, "a full disk: ends at once and says so", (code, text, err))
    check(text.endswith("\ncheckpoint\n"), "nothing half-written keeps it full", text[-200:])
    os.mkdir(top + "/after")
    os.rename(top + "/disk.after", top + "/after/checkpoint")
    code, text, err = run(command(data, top + "/full-out", "--checkpoint", top + "/after", "--resume"))
    check(code == 0 and "going on after iteration 3\n" in text, "the one before is whole", (code, text, err))

    nobody = (lambda: os.setuid(65534)) if os.getuid() == 0 else None
    os.mkdir(top + "/mine", 0o555)
    os.mkdir(top + "/open")
    os.chmod(top + "/open", 0o777)
    refused(top, "a directory without permission: known at the start",
            command(data, top + "/open", "--checkpoint", top + "/mine"), f"--checkpoint {top}/mine: Permission denied", preexec_fn=nobody)
    refused(top, "a directory that cannot be made", command(data, top + "/open", "--checkpoint", top + "/no/such"), top + "/no/such: No such file")
    refused(top, "a file for a directory", command(data, top + "/open", "--checkpoint", DCGAN), f"--checkpoint {DCGAN}: Not a directory")


def test_ranks(top, data):
    """Two ranks, the second in a directory of its own where there is no checkpoint."""
    def mpi(name, *more):
        parts = []
        for rank in "01":
            os.makedirs(f"{top}/{name}-{rank}", exist_ok=True)
            parts += ["-n", "1", "-wdir", f"{top}/{name}-{rank}", "/bin/sh", "-c", 'echo $$ >pid && exec "$0" "$@"', *command(data, "out", *more), ":"]
        return [MPIEXEC, *parts[:-1]]

    code, text, err = run(mpi("straight", "--checkpoint", "kept", "--every", "2"))
    plain = told(text)
    check(code == 0 and len(plain) == 2 * (2 * 4 + 2), "two ranks", (code, text, err))
    end = content(top + "/straight-0/kept/checkpoint")
    for rank, lines in ((0, 3), (1, 7), (1, 11)):
        name = f"rank{rank}-{lines}"
        again = mpi(name, "--checkpoint", "kept", "--every", "2", "--resume")
        with subprocess.Popen(again, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=ENV) as p:
            text = "".join(p.stdout.readline() for _ in range(lines))
            try:
                os.kill(int(content(f"{top}/{name}-{rank}/pid")), signal.SIGKILL)
            except ProcessLookupError:
                pass
            text += p.stdout.read()
        first = told(text)
        code, text, err = run(again)
        second = told(text)
        same = all(plain[k] == v for l in (first, second) for k, v in l.items())
        same = same and content(f"{top}/{name}-0/kept/checkpoint") == end and pictures(f"{top}/{name}-0/out") == pictures(top + "/straight-0/out")
        check(code == 0 and same and not os.path.exists(f"{top}/{name}-1/kept"), f"two ranks, rank {rank} killed after {lines} lines, resumed", (code, first, text, err))
    one = command(data, "out", "--checkpoint", top + "/straight-0/kept", "--resume")
    refused(top, "two ranks' checkpoint with one rank", one, "the number of ranks was 2 when it was written and is 1 now", cwd=top + "/straight-0")


def test_generate(top):
    args = [DCGAN, "--threads", "1", "--checkpoint", top + "/two-epochs", "--generate"]
    sets = {}
    for n, seed in ((1, 1), (3, 1), (9, 1), (9, 2)):
        code, text, err = run(args + [str(n), "--seed", str(seed), "--out_folder", f"{top}/made-{n}-{seed}"])
        sets[n, seed] = pictures(f"{top}/made-{n}-{seed}") if code == 0 else err
    check(all(sorted(sets[n, s]) == [f"generated_seed_{s:03d}_{i:06d}.png" for i in range(n)] for n, s in sets), "--generate N writes N images", sets)
    check(all(sets[n, 1][k] == sets[9, 1][k] for n in (1, 3) for k in sets[n, 1]), "image i is the same whatever N is")
    check(len(set(sets[9, 1].values()) | set(sets[9, 2].values())) == 18, "all differ, seeds too")
    check(all(struct.unpack(">II", p[16:24]) == (16, 16) for p in sets[9, 1].values()), "of the training's size")
    code, text, err = run([MPIEXEC, "-n", "2"] + args + ["9", "--out_folder", top + "/made-ranks"])
    check(code == 0 and pictures(top + "/made-ranks") == sets[9, 1], "ranks share the work", (code, err))
    run([DCGAN, "--threads", "1", "--checkpoint", top + "/go", "--generate", "1", "--out_folder", top + "/made-go"])
    check(len(pictures(top + "/made-go")) == 1 and pictures(top + "/made-go") != sets[1, 1], "of this checkpoint: another one makes others")
    refused(top, "no checkpoint to generate from", args[:-2] + [top + "/made-ranks", "--generate", "1"], top + "/made-ranks: no checkpoint there")
    data = bytearray(content(top + "/two-epochs/checkpoint"))
    data[16:24] = struct.pack("<Q", 48)
    os.mkdir(top + "/odd")
    with open(top + "/odd/checkpoint", "wb") as f:
        f.write(data[:-8] + struct.pack("<Q", zlib.crc32(data[:-8])))
    refused(top, "a checkpoint of an absurd size", args[:-2] + [top + "/odd", "--generate", "1"], "4 x 1 x 48 x 48, which no training has")


def test_options():
    for args, words in [
        (["--every", "3"], "--every needs --checkpoint"),
        (["--resume"], "--resume needs --checkpoint"),
        (["--generate", "3"], "--generate needs --checkpoint"),
        (["--checkpoint", ""], "--checkpoint is empty"),
        (["--checkpoint", ".", "--generate", "3", "--resume"], "--resume means nothing with it"),
        (["--checkpoint", ".", "--every", "-1"], "--every is '-1'"),
    ]:
        code, text, err = run([DCGAN, *args])
        check(code == 2 and words in err and err.count("\n") == 1 and not text, f"exit 2: dcgan {' '.join(args)}", (code, text, err))


with tempfile.TemporaryDirectory() as top:
    os.chmod(top, 0o755)
    images = np.random.default_rng(1).integers(0, 256, (27, 16, 16), np.uint8)
    write_images(top + "/data", images)
    write_images(top + "/fewer", images[:26])
    images[26, 15, 15] ^= 1
    write_images(top + "/other", images)
    test_options()
    test_killed(top, top + "/data")
    test_go_on(top, top + "/data")
    test_refused(top, top + "/data")
    test_cannot_write(top, top + "/data")
    test_ranks(top, top + "/data")
    test_generate(top)
print(f"1..{len(results)}")
sys.exit(0 if all(results) else 1)

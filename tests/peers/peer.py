# SPDX-License-Identifier: GPL-3.0-or-later
"""What all peers share: how they are asked and how they answer.

A peer is started with one argument, a JSON object: task ("train", "infer", "dream"), net
("wrn-40-4"), batch, threads, precision ("f32", "bf16"), mode (words for the peer), params (how
many the network must have), file (weights and inputs, see inputs.lua), folder (for files of its
own), clock ("wall" or "cpu", how to measure), patience (minutes until it must be ready). It answers
in JSON lines on its standard output:

  {"version": , "params": , "check": [...]}   ready: the first losses (train, dream), or all logits
  {"absent": "why"}                           cannot do this, and ends

and then, for each line "SECONDS" on its standard input,

  {"seconds": [...], "images": , "peak": }    of each step; images in a step; bytes that the
                                              process's resident memory has grown by at its peak

until "quit" or the end of the input.
"""
import json
import signal
import sys
import time

import numpy


def spec():
    """What is asked for. From now on the time runs in which the peer must be ready."""
    asked = json.loads(sys.argv[1])

    def late(*_):
        raise TimeoutError("not ready after %g minutes" % asked["patience"])
    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, 60 * asked["patience"])
    return asked


def say(**answer):
    sys.stdout.write("\n" + json.dumps(answer) + "\n")  # on a line of its own, whatever was printed
    sys.stdout.flush()


def absent(reason):
    say(absent=str(reason).strip().split("\n")[-1][:300])
    sys.exit(0)


def depth_and_width(net):
    kind, depth, width = net.split("-")
    assert kind == "wrn", net
    return int(depth), int(width)


def load(path):
    """The tensors of a safetensors file as arrays; copies, so that they can be written to."""
    types = {"F32": numpy.float32, "I32": numpy.int32}
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        data = file.read()
    tensors = {}
    for name, about in header.items():
        if name != "__metadata__":
            first, last = about["data_offsets"]
            array = numpy.frombuffer(data[first:last], types[about["dtype"]])
            tensors[name] = array.reshape(about["shape"]).copy()
    return tensors


def split(tensors):
    """State dict, and images {n, 3, 32, 32}, labels from 0, target of a dream."""
    inputs = {name[6:]: tensors.pop(name) for name in list(tensors) if name.startswith("bench.")}
    images = numpy.ascontiguousarray(inputs["x"].transpose(0, 3, 1, 2))
    return tensors, images, inputs["y"], inputs["target"]


def count(state):
    """Trained numbers of a state dict: running statistics are none."""
    return sum(a.size for name, a in state.items() if "running_" not in name)


def memory(key):
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith(key + ":"):
                return 1024 * int(line.split()[1])


def serve(step, images, version, params, check, base):
    """Tells that the peer is ready and answers until told to stop. base: bytes resident before
    the network was made."""
    now = time.process_time if json.loads(sys.argv[1])["clock"] == "cpu" else time.perf_counter
    for _ in range(2):
        step()
    signal.setitimer(signal.ITIMER_REAL, 0)
    say(version=version, params=int(params), check=[float(x) for x in check])
    for line in sys.stdin:
        if line.strip() == "quit":
            break
        seconds, stop = [], now() + float(line)
        while len(seconds) < 3 or now() < stop:
            start = now()
            step()
            seconds.append(now() - start)
        say(seconds=seconds, images=images, peak=memory("VmHWM") - base)

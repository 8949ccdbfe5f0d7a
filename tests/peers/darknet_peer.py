# SPDX-License-Identifier: GPL-3.0-or-later
"""darknet, Debian's: inference in f32, one thread, one image at a time (its batches save nothing).
Its .cfg and .weights are written here; the eps of its batch norm is another, so the variance is
written such that the result is the same."""
import ctypes
import os

import numpy

import peer

LIBRARY = "/usr/lib/darknet/libdarknet.so"
s = peer.spec()
try:
    lib = ctypes.CDLL(LIBRARY)
except OSError as error:
    peer.absent(error)
if s["threads"] != 1 or s["precision"] != "f32":
    peer.absent("darknet has one thread and f32 only")
base = peer.memory("VmRSS")
state, images, _, _ = peer.split(peer.load(s["file"]))
layers, data = [], [numpy.array([0, 2, 0, 0, 0], numpy.int32).tobytes()]  # version, images seen


def layer(kind, **options):
    layers.append("[%s]\n%s\n" % (kind, "\n".join("%s=%s" % o for o in options.items())))
    return len(layers) - 1


def put(*arrays):
    data.extend(numpy.ascontiguousarray(a, numpy.float32).tobytes() for a in arrays)


def norm_of(name):
    variance = numpy.sqrt(state[name + ".running_var"].astype(numpy.float64) + 1e-5) - 1e-6
    return state[name + ".weight"], state[name + ".running_mean"], variance ** 2


def norm_relu(name):
    """Its own layer of batch norm reads memory that it never had, on a CPU; a 1x1 convolution of
    every channel alone, with weight 1, is the same."""
    bias = state[name + ".bias"]
    put(bias, *norm_of(name))
    put(numpy.ones(bias.size))
    return layer("convolutional", filters=bias.size, groups=bias.size, size=1, stride=1,
                 batch_normalize=1, activation="relu")


def conv(name, stride=1, norm=None):
    w = state[name + ".weight"]
    if norm:
        put(state[norm + ".bias"], *norm_of(norm))
    else:
        put(numpy.zeros(w.shape[0]))
    put(w)
    return layer("convolutional", filters=w.shape[0], size=w.shape[2], stride=stride,
                 padding=w.shape[2] // 2, batch_normalize=1 if norm else 0,
                 activation="relu" if norm else "linear")


x = conv("conv0")
for g in range(1, 4):
    for i in range((peer.depth_and_width(s["net"])[0] - 4) // 6):
        name = "group%d.%d." % (g, i)
        stride = 2 if g > 1 and i == 0 else 1
        a = norm_relu(name + "bn1")
        conv(name + "conv1", stride, name + "bn2")
        other, y = x, conv(name + "conv2")
        if name + "shortcut.weight" in state:
            layer("route", layers=a)
            if stride > 1:  # its 1x1 convolutions pass over the stride
                layer("maxpool", size=1, stride=stride, padding=0)
            conv(name + "shortcut")
            other = y
        x = layer("shortcut", activation="linear", **{"from": other})
norm_relu("bn")
layer("avgpool")
w = state["fc.weight"]
layer("connected", output=w.shape[0], activation="linear")
put(state["fc.bias"], w)

path = os.path.join(s["folder"], "darknet-%d" % os.getpid())
with open(path + ".cfg", "w") as file:
    file.write("[net]\nbatch=1\nheight=32\nwidth=32\nchannels=3\n" + "".join(layers))
with open(path + ".weights", "wb") as file:
    file.write(b"".join(data))
lib.load_network.restype = ctypes.c_void_p
lib.network_predict.restype = ctypes.POINTER(ctypes.c_float)
lib.network_predict.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
net = lib.load_network((path + ".cfg").encode(), (path + ".weights").encode(), 0)
os.remove(path + ".cfg")
os.remove(path + ".weights")
at = [0]


def step():
    at[0] = (at[0] + 1) % len(images)
    return numpy.ctypeslib.as_array(
        lib.network_predict(net, images[at[0]].ctypes.data_as(ctypes.c_void_p)), (10,))


check = []
for at[0] in range(-1, min(8, len(images)) - 1):
    check.extend(step().tolist())
peer.serve(step, 1, "2018-09-14", peer.count(state), check, base)

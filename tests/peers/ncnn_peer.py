# SPDX-License-Identifier: GPL-3.0-or-later
"""ncnn: inference, image by image (it has no batches), in f32 or bf16. Its model is written here,
with the second batch norm of a block folded into the convolution before it, as its own optimiser
of models does."""
import os

import numpy

import peer

s = peer.spec()
try:
    import ncnn
except Exception as error:
    peer.absent(error)
base = peer.memory("VmRSS")
state, images, _, _ = peer.split(peer.load(s["file"]))
EPS = 1e-5


class Model:
    """Lines of a .param file and bytes of a .bin file."""

    def __init__(self):
        self.lines, self.data, self.blobs = [], [], 0

    def layer(self, kind, inputs, outputs, words=""):
        names = ["b%d" % (self.blobs + i) for i in range(outputs)]
        self.blobs += outputs
        self.lines.append("%s l%d %d %d %s %s" % (
            kind, len(self.lines), len(inputs), outputs, " ".join(inputs + names), words))
        return names

    def raw(self, array):
        self.data.append(numpy.ascontiguousarray(array, numpy.float32).tobytes())

    def tagged(self, array):
        self.data.append(b"\0\0\0\0")  # f32 follows
        self.raw(array)

    def conv(self, x, name, stride=1, norm=None):
        w = state[name + ".weight"]
        words = "0=%d 1=%d 3=%d 4=%d 6=%d" % (w.shape[0], w.shape[2], stride, w.shape[2] // 2,
                                              w.size)
        if norm:
            scale = state[norm + ".weight"] / numpy.sqrt(state[norm + ".running_var"] + EPS)
            w = w * scale[:, None, None, None]
            words += " 5=1 9=1"  # bias, ReLU
        self.tagged(w)
        if norm:
            self.raw(state[norm + ".bias"] - state[norm + ".running_mean"] * scale)
        return self.layer("Convolution", [x], 1, words)[0]

    def norm_relu(self, x, name):
        for part in ("weight", "running_mean", "running_var", "bias"):
            self.raw(state[name + "." + part])
        words = "0=%d 1=%g" % (state[name + ".bias"].size, EPS)
        return self.layer("ReLU", self.layer("BatchNorm", [x], 1, words), 1)[0]

    def twice(self, x):
        return self.layer("Split", [x], 2)

    def save(self, path):
        with open(path + ".param", "w") as file:
            file.write("7767517\n%d %d\n%s\n" % (len(self.lines), self.blobs,
                                                 "\n".join(self.lines)))
        with open(path + ".bin", "wb") as file:
            file.write(b"".join(self.data))


def build(depth):
    m = Model()
    x = m.conv(m.layer("Input", [], 1)[0], "conv0")
    for g in range(1, 4):
        for i in range((depth - 4) // 6):
            name = "group%d.%d." % (g, i)
            stride = 2 if g > 1 and i == 0 else 1
            if name + "shortcut.weight" in state:
                a, other = m.twice(m.norm_relu(x, name + "bn1"))
            else:
                a, other = m.twice(x)
                a = m.norm_relu(a, name + "bn1")
            y = m.conv(m.conv(a, name + "conv1", stride, name + "bn2"), name + "conv2")
            if name + "shortcut.weight" in state:
                other = m.conv(other, name + "shortcut", stride)
            x = m.layer("BinaryOp", [y, other], 1, "0=0")[0]
    x = m.layer("Pooling", [m.norm_relu(x, "bn")], 1, "0=1 4=1")
    w = state["fc.weight"]
    m.tagged(w)
    m.raw(state["fc.bias"])
    return m, m.layer("InnerProduct", x, 1, "0=%d 1=1 2=%d" % (w.shape[0], w.size))[0]


model, answers = build(peer.depth_and_width(s["net"])[0])
path = os.path.join(s["folder"], "ncnn-%d" % os.getpid())
model.save(path)
net = ncnn.Net()
net.opt.use_vulkan_compute = False
net.opt.num_threads = s["threads"]
net.opt.use_bf16_storage = s["precision"] == "bf16"
if net.load_param(path + ".param") != 0 or net.load_model(path + ".bin") != 0:
    peer.absent("ncnn does not read its model")
os.remove(path + ".param")
os.remove(path + ".bin")
inputs = [ncnn.Mat(image).clone() for image in images]


def step():
    results = []
    for image in inputs:
        extractor = net.create_extractor()
        extractor.input("b0", image)
        results.append(extractor.extract(answers)[1])
    return results


check = numpy.array([numpy.array(mat).flatten() for mat in step()]).flatten()
peer.serve(step, s["batch"], ncnn.__version__, peer.count(state), check, base)

# SPDX-License-Identifier: GPL-3.0-or-later
"""PyTorch, of any version. Words of mode: eager or compile (torch.compile; for inference with its
freezing of weights), nchw or nhwc (channels-last); for bf16 autocast or cast (a frozen network's
own weights are bf16); plain (oneDNN switched off)."""
import contextlib

import peer

s = peer.spec()
words = s["mode"].split(" ")
try:
    import torch
    from torch.nn import functional as F
    with contextlib.suppress(ImportError):
        import torch._dynamo  # an optimiser would load it later: no memory of the network's
    if "compile" in words:
        import torch._inductor.config
        torch._inductor.config.cpp.threads = s["threads"]
        torch._inductor.config.freezing = s["task"] == "infer"
except Exception as error:
    peer.absent(error)
import wrn

torch.set_num_threads(s["threads"])
torch.set_num_interop_threads(1)
if "plain" in words:
    torch.backends.mkldnn.set_flags(False)
base = peer.memory("VmRSS")

state, images, labels, target = peer.split(peer.load(s["file"]))
net = wrn.build(*peer.depth_and_width(s["net"]), state)
params = sum(p.numel() for p in net.parameters())
layout = torch.channels_last if "nhwc" in words else torch.contiguous_format
x = torch.from_numpy(images).contiguous(memory_format=layout)
y, target = torch.from_numpy(labels).long(), torch.from_numpy(target)
net = net.to(memory_format=layout)
if "cast" in words:
    net = net.bfloat16()


def precision():
    if "autocast" in words:
        return torch.autocast("cpu", dtype=torch.bfloat16)
    return contextlib.nullcontext()


def compiled(fn):
    return torch.compile(fn) if "compile" in words else fn


def optimizer(kind, parameters, **options):
    """Its one-pass form where this version has one for CPUs."""
    try:
        return kind(parameters, fused=True, **options)
    except (TypeError, RuntimeError):
        return kind(parameters, **options)


def train():
    net.train()
    o = optimizer(torch.optim.SGD, net.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-4)

    @compiled
    def loss_of(a, b):
        with precision():
            answers = net(a)
        return F.cross_entropy(answers.float(), b)

    def step():
        o.zero_grad(set_to_none=True)
        loss = loss_of(x, y)
        loss.backward()
        o.step()
        return loss
    return step


def infer():
    net.eval().requires_grad_(False)
    a = x.bfloat16() if "cast" in words else x
    run = compiled(net)
    no_grad = torch.no_grad if "compile" in words else torch.inference_mode

    def step():
        with no_grad(), precision():
            return run(a)
    return step


def dream():
    net.eval().requires_grad_(False)
    image = x.clone(memory_format=torch.preserve_format).requires_grad_()
    o = optimizer(torch.optim.Adam, [image], lr=0.05)

    @compiled
    def loss_of(a):
        with precision():
            found = net.pooled(a.bfloat16() if "cast" in words else a)
        return (found.float() - target).square().mean()

    def step():
        o.zero_grad(set_to_none=True)
        loss = loss_of(image)
        loss.backward()
        o.step()
        return loss
    return step


try:
    step = {"train": train, "infer": infer, "dream": dream}[s["task"]]()
    if s["task"] == "infer":
        check = step().float().flatten().tolist()
    else:
        check = [step().item() for _ in range(3)]
except Exception as error:
    peer.absent(error)
peer.serve(step, s["batch"], torch.__version__.split("+")[0], params, check, base)

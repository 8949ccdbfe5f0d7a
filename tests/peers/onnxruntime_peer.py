# SPDX-License-Identifier: GPL-3.0-or-later
"""ONNX Runtime: inference."""
import peer

s = peer.spec()
try:
    import onnxruntime
    import onnx_wrn
except Exception as error:
    peer.absent(error)
base = peer.memory("VmRSS")
state, images, _, _ = peer.split(peer.load(s["file"]))
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = s["threads"]
options.inter_op_num_threads = 1
options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
try:
    model = onnx_wrn.build(peer.depth_and_width(s["net"])[0], state, s["batch"])
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
except Exception as error:
    peer.absent(error)


def step():
    return session.run(["y"], {"x": images})[0]


peer.serve(step, s["batch"], onnxruntime.__version__, peer.count(state), step().flatten(), base)

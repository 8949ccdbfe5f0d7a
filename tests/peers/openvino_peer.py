# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenVINO: inference, in f32 or bf16."""
import io

import peer

s = peer.spec()
try:
    import openvino
    import onnx_wrn
except Exception as error:
    peer.absent(error)
base = peer.memory("VmRSS")
state, images, _, _ = peer.split(peer.load(s["file"]))
try:
    core = openvino.Core()
    model = core.read_model(io.BytesIO(
        onnx_wrn.build(peer.depth_and_width(s["net"])[0], state, s["batch"])))
    compiled = core.compile_model(model, "CPU", {
        "INFERENCE_NUM_THREADS": s["threads"], "NUM_STREAMS": 1, "ENABLE_CPU_PINNING": False,
        "INFERENCE_PRECISION_HINT": s["precision"]})
    request = compiled.create_infer_request()
except Exception as error:
    peer.absent(error)
request.set_input_tensor(openvino.Tensor(images))


def step():
    request.infer()


step()
check = request.get_output_tensor(0).data.flatten()
peer.serve(step, s["batch"], openvino.__version__.split("-")[0], peer.count(state), check, base)

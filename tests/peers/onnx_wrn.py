# SPDX-License-Identifier: GPL-3.0-or-later
"""The Wide ResNet as an ONNX model, made of a state dict; for ONNX Runtime and OpenVINO."""
import onnx
from onnx import TensorProto, helper, numpy_helper


def build(depth, state, batch):
    nodes, weights = [], []

    def node(kind, inputs, output, **attributes):
        nodes.append(helper.make_node(kind, inputs, [output], output, **attributes))
        return output

    def weight(name):
        weights.append(numpy_helper.from_array(state[name], name))
        return name

    def conv(x, name, stride=1):
        size = state[name + ".weight"].shape[2]
        return node("Conv", [x, weight(name + ".weight")], name, kernel_shape=[size, size],
                    strides=[stride, stride], pads=[size // 2] * 4)

    def norm_relu(x, name):
        parts = [weight(name + "." + part)
                 for part in ("weight", "bias", "running_mean", "running_var")]
        return node("Relu", [node("BatchNormalization", [x] + parts, name, epsilon=1e-5)],
                    name + ".relu")

    x = conv("x", "conv0")
    for g in range(1, 4):
        for i in range((depth - 4) // 6):
            name = "group%d.%d." % (g, i)
            stride = 2 if g > 1 and i == 0 else 1
            a = norm_relu(x, name + "bn1")
            y = norm_relu(conv(a, name + "conv1", stride), name + "bn2")
            y = conv(y, name + "conv2")
            if name + "shortcut.weight" in state:
                x = conv(a, name + "shortcut", stride)
            x = node("Add", [y, x], name + "add")
    x = node("Flatten", [node("GlobalAveragePool", [norm_relu(x, "bn")], "pool")], "flat")
    node("Gemm", [x, weight("fc.weight"), weight("fc.bias")], "y", transB=1)
    graph = helper.make_graph(
        nodes, "wrn",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, 32, 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 10])], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()

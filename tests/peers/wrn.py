# SPDX-License-Identifier: GPL-3.0-or-later
"""The same Wide ResNet as lua/edgeai/nn/arch/wrn.lua, in PyTorch, with the same names."""
import torch
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    def __init__(self, inp, out, stride):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inp)
        self.conv1 = nn.Conv2d(inp, out, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.shortcut = None
        if inp != out or stride != 1:
            self.shortcut = nn.Conv2d(inp, out, 1, stride, bias=False)

    def forward(self, x):
        a = F.relu(self.bn1(x), inplace=True)
        y = self.conv2(F.relu(self.bn2(self.conv1(a)), inplace=True))
        return y + (x if self.shortcut is None else self.shortcut(a))


class WRN(nn.Module):
    def __init__(self, depth, widen, classes=10):
        super().__init__()
        widths = [16, 16 * widen, 32 * widen, 64 * widen]
        self.conv0 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        for g in range(1, 4):
            blocks = [Block(widths[g - 1] if i == 0 else widths[g], widths[g],
                            2 if i == 0 and g > 1 else 1) for i in range((depth - 4) // 6)]
            setattr(self, "group%d" % g, nn.Sequential(*blocks))
        self.bn = nn.BatchNorm2d(widths[3])
        self.fc = nn.Linear(widths[3], classes)

    def pooled(self, x):
        x = self.group3(self.group2(self.group1(self.conv0(x))))
        return F.relu(self.bn(x), inplace=True).mean((2, 3))

    def forward(self, x):
        return self.fc(self.pooled(x))


def build(depth, widen, state):
    net = WRN(depth, widen)
    found = net.load_state_dict({k: torch.from_numpy(v) for k, v in state.items()}, strict=False)
    missing = [name for name in found.missing_keys if not name.endswith("num_batches_tracked")]
    assert not missing and not found.unexpected_keys, (missing, found.unexpected_keys)
    return net

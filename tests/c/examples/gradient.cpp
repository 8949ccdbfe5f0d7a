// SPDX-License-Identifier: GPL-3.0-or-later
// gradient.cpp - the library from C++: references that give themselves back, failures as
// exceptions.
//
//   c++ gradient.cpp $(pkg-config --cflags --libs edgeai) -o gradient && ./gradient
//
// Fits y = w x by gradient descent on the mean squared error.
#include <edgeai.h>

#include <cstdio>
#include <initializer_list>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

void check(int status) {
  if (status < 0) throw std::runtime_error(ea_error());
}

struct release {
  void operator()(ea_tensor *t) const { ea_tensor_release(t); }
};
using tensor = std::unique_ptr<ea_tensor, release>;

tensor make(const std::vector<int64_t> &size, const std::vector<float> &values) {
  ea_tensor *t = nullptr;
  check(ea_tensor_new(EA_F32, static_cast<int>(size.size()), size.data(), &t));
  tensor owned(t);
  float *data = static_cast<float *>(ea_tensor_data(t));
  for (float v : values) *data++ = v;
  return owned;
}

// The first output of an op.
tensor apply(const std::string &op, std::initializer_list<const tensor *> inputs,
             const std::vector<double> &attributes = {}) {
  std::vector<ea_tensor *> in;
  for (const tensor *t : inputs) in.push_back(t->get());
  ea_tensor *out[EA_MAX_OUT] = {};
  check(ea_apply(ea_op_find(op.c_str()), static_cast<int>(in.size()), in.data(),
                 static_cast<int>(attributes.size()), attributes.data(), out));
  return tensor(out[0]);
}

double item(const tensor &t) {
  const int64_t index[EA_MAX_DIM] = {};
  double value = 0;
  check(ea_tensor_get(t.get(), index, &value));
  return value;
}

double fit() {
  const tensor x = make({4, 1}, {1, 2, 3, 4}), y = make({4, 1}, {3, 6, 9, 12});
  const tensor w = make({1, 1}, {0});
  check(ea_tensor_set_requires_grad(w.get(), 1));
  for (int step = 0; step < 50; step++) {
    const tensor guess = apply("matmul", {&x, &w}), loss = apply("mse", {&guess, &y});
    ea_backward_run *run = nullptr;
    check(ea_backward(loss.get(), nullptr, &run));
    static_cast<float *>(ea_tensor_data(w.get()))[0] -=
        0.05F * static_cast<float *>(ea_tensor_data(ea_tensor_grad(w.get())))[0];
    check(ea_tensor_set_grad(w.get(), nullptr));
  }
  return item(w);
}

} // namespace

int main() {
  try {
    std::printf("w = %.4f\n", fit());
    apply("matmul", {}); // a mistake
  } catch (const std::runtime_error &e) {
    std::printf("failed: %s\n", e.what());
    return ea_memory_live() == 0 ? 0 : 1;
  }
  return 1;
}

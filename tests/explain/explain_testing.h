#pragma once

#include <stdexcept>
#include <string>

#include "network/helpers.h"

#include "mien/explain/attribution.h"

namespace mien::explain {

/// Tensors of a file of the fixtures.
struct NumbersOf {
  explicit NumbersOf(const std::string& name) : file(SafetensorsFile::open(network::fixtures() / name)) {}

  /// A tensor of the file: float32, float64, int64 or uint8, as it is stored.
  at::Tensor operator[](const std::string& name) const {
    const NamedArray* array = file.find(name);
    if (array == nullptr) throw std::logic_error("the reference has no " + name);
    const auto kind = array->dtype == "F32"   ? at::kFloat
                      : array->dtype == "F64" ? at::kDouble
                      : array->dtype == "I64" ? at::kLong
                                              : at::kByte;
    return at::from_blob(const_cast<std::byte*>(array->bytes.data()), array->shape, kind).clone();
  }
  bool has(const std::string& name) const { return file.find(name) != nullptr; }

  SafetensorsFile file;
};

/// One of the two reference networks, its first three reference faces, and what the field's libraries say of them.
struct Reference : NumbersOf {
  explicit Reference(const std::string& name)
      : NumbersOf(name + "/explanations.safetensors"), network(frozen_copy(load(name))) {
    request.images = (*this)["input"];
    request.targets = (*this)["target"];
  }

  network::Network network;
  AttributionRequest request{.network = network, .images = {}, .targets = {}};

 private:
  static network::Network load(const std::string& name) {
    const std::string graph = name == "relu6" ? (network::fixtures() / "relu6.toml").string() : name;
    network::Network network(network::load_graph(graph), 0);
    network::load_weights_into(network::fixtures() / name / "weights.safetensors", network);
    return network;
  }
};

}  // namespace mien::explain

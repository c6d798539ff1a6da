#pragma once

#include <string>

#include "network/helpers.h"

#include "mien/explain/attribution.h"

namespace mien::explain {

/// One of the two reference networks, its first three reference faces, and what the field's libraries say of them.
struct Reference {
  explicit Reference(const std::string& name)
      : network(frozen(load(name))),
        file(SafetensorsFile::open(network::fixtures() / name / "explanations.safetensors")) {
    question.images = (*this)["input"];
    question.targets = (*this)["target"];
  }

  at::Tensor operator[](const std::string& name) const { return network::tensor_of(file, name); }
  bool has(const std::string& name) const { return file.find(name) != nullptr; }

  network::Network network;
  SafetensorsFile file;
  Question question{.network = network, .images = {}, .targets = {}};

 private:
  static network::Network load(const std::string& name) {
    const std::string graph = name == "relu6" ? (network::fixtures() / "relu6.toml").string() : name;
    network::Network network(network::load_graph(graph), 0);
    network::load_weights_into(network::fixtures() / name / "weights.safetensors", network);
    return network;
  }
};

}  // namespace mien::explain

#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mien/data/dataset.h"
#include "mien/network/network.h"

namespace mien::serve {

struct Question;

/// What a face must be for a network.
struct ModelInput {
  int64_t channels = 0;
  int64_t height = 0;
  int64_t width = 0;
  std::vector<std::string> class_names;
};

/// A network that can be asked, and what was found out about it so far. Used by one thread at a time.
struct ServedModel {
  network::LoadedWeights loaded;
  network::Network frozen;  ///< a copy whose parameters require no gradient
  double temperature;       ///< that its probabilities are at, from calibration
  ModelInput input;
  std::vector<std::string> layers;           ///< that class activation methods can read
  std::vector<std::string> methods;          ///< that are defined for the network
  std::map<std::string, at::Tensor> found;   ///< by what it is; kept because it takes long
  std::map<std::string, std::string> texts;  ///< the same, as JSON

  explicit ServedModel(network::LoadedWeights weights);

  /// Faces of bytes [C,H,W] as data, unlabeled.
  data::Dataset faces(const std::vector<std::vector<uint8_t>>& pixels) const;
  /// Network input [N,C,H,W] of faces.
  at::Tensor images(const data::Dataset& faces) const;
  /// JSON of the prediction of each face, computed in one batch.
  std::vector<std::string> predict(const std::vector<std::vector<uint8_t>>& pixels) const;
  /// JSON of the map that a question asks for. Throws Error(usage) for options that do not fit. Tells its steps
  /// (core/work_steps.h).
  std::string explain(const Question& question) const;
};

}  // namespace mien::serve

#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "mien/infer/operations.h"
#include "mien/network/graph/graph.h"
#include "mien/network/normalization.h"
#include "mien/network/plan.h"

namespace mien::infer {

/// A step of the plan with everything that does not depend on the faces.
struct PreparedStep {
  network::Step step;
  PackedConvolution convolution;    ///< of a convolution without groups, or a dense layer
  std::vector<float> weight, bias;  ///< of others: grouped convolutions [taps, K], norms' gamma and beta
  std::vector<float> scale, shift;  ///< of a batch norm, in a block or alone
};

/// A network for evaluation on one thread, without libtorch. Never changes after it was loaded.
class Model {
 public:
  /// Throws Error(bad_data) if the file cannot be read, is not Mien's, or its tensors do not fit its network.
  explicit Model(const std::filesystem::path& path);

  const network::Graph& graph() const { return graph_; }
  const std::vector<std::string>& class_names() const { return class_names_; }
  /// That logits are divided by before the softmax: the one that the weights carry, else 1.
  double temperature() const { return temperature_; }

  /// Logits [count, classes] of gray levels [count, C, H, W].
  void logits(const uint8_t* faces, int64_t count, float* out) const;

 private:
  void run(const uint8_t* faces, int64_t count, float* out) const;
  Values run_step(const PreparedStep& prepared, std::vector<Values>& values, int64_t count) const;
  Values run_layer(const PreparedStep& prepared, std::vector<Values>& values, int64_t count) const;
  Values run_block(const PreparedStep& prepared, std::vector<Values>& values, int64_t count) const;

  network::Graph graph_;
  network::Normalization normalization_;
  std::vector<std::string> class_names_;
  double temperature_ = 1;
  std::vector<PreparedStep> steps_;
};

}  // namespace mien::infer

#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/expect_error.h"
#include "core/temporary_folder.h"
#include "training/helpers.h"
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "mien/core/files.h"
#include "mien/core/progress.h"
#include "mien/data/synthetic/drawn_faces.h"
#include "mien/network/graph/graph.h"
#include "mien/training/trainer.h"

namespace mien::training {

/// 20 drawn faces a class, 24x24; 112 rows to train on, 28 to validate.
inline const data::Dataset& faces() {
  static const data::Dataset faces =
      data::draw_faces({.count_per_class = 20, .draw_seed = 3, .side = 24, .difficulty = 0.3});
  return faces;
}

inline std::vector<int64_t> rows_of(const data::Dataset& dataset, data::Usage usage) {
  std::vector<int64_t> rows;
  for (int64_t row = 0; row < dataset.size(); ++row) {
    if (dataset.usages[static_cast<size_t>(row)] == usage) rows.push_back(row);
  }
  return rows;
}

inline network::Network network_of(const std::string& layers, uint64_t seed = 5) {
  return network::Network(
      network::parse_graph("name = \"small\"\ninput = [1, 24, 24]\nlayers = [" + layers + "]\n", "small.toml"), seed);
}

/// A convolution, batch norm and dropout twice: everything that has state or draws random numbers.
inline network::Network small_network(uint64_t seed = 5) {
  return network_of(R"({ conv = 6, kernel = 3, padding = "same" }, "relu", "batch_norm", { max_pool = 2 },
    { dropout = 0.1 }, "flatten", { dense = 16 }, "relu", "batch_norm", { dropout = 0.1 }, { dense = 7 })",
                    seed);
}

/// Nothing random, nothing that depends on the batch.
inline network::Network plain_network(uint64_t seed = 5) {
  return network_of(R"({ conv = 4, kernel = 3, stride = 2 }, "relu", "flatten", { dense = 7 })", seed);
}

/// A run of four epochs of four steps in `folder`.
inline TrainingInput input_in(const std::filesystem::path& folder) {
  TrainingInput input{.dataset = &faces(),
                      .training_rows = rows_of(faces(), data::Usage::training),
                      .validation_rows = rows_of(faces(), data::Usage::public_test)};
  input.options.loop.epochs = 4;
  input.options.loop.batch_size = 32;
  input.options.loop.device = "cpu";
  input.folder = folder;
  return input;
}

/// Counts what it hears, and asks the trainer to stop where it is told to.
class Witness final : public TrainingObserver, public ProgressListener {
 public:
  int64_t stop_after_epoch = 0;  ///< 0 never stops
  int64_t stop_at_step = 0;      ///< counted over all epochs of this start; 0 never stops

  int64_t resumed_with = -1;  ///< epochs that it went on from
  int64_t first_batches = 0;
  int64_t steps = 0;
  Batch first;
  std::vector<std::string> lines;
  std::vector<int64_t> best_epochs;

  void first_batch(const Batch& batch) override {
    ++first_batches;
    first = {.images = batch.images.clone(), .targets = batch.targets.clone()};
  }
  void resumed(const std::vector<EpochRow>& history) override { resumed_with = static_cast<int64_t>(history.size()); }
  void epoch_ended(const std::vector<EpochRow>& history, bool is_best) override {
    if (is_best) best_epochs.push_back(history.back().epoch);
    stops = stops || history.back().epoch == stop_after_epoch;
  }
  void line(std::string_view text) override { lines.emplace_back(text); }
  void warning(std::string_view text) override { ADD_FAILURE() << text; }
  void progress(std::string_view, int64_t, int64_t, std::string_view) override {
    ++steps;
    stops = stops || steps == stop_at_step;
  }
  bool stop_requested() const override { return stops; }
  bool stops = false;
};

/// Trains with `witness` in both roles; a stop that it asked for is over afterwards.
inline TrainingResult train(network::Network network, const TrainingInput& input, Witness& witness) {
  TrainingResult result = train(std::move(network), input, witness, witness);
  witness.stops = false;
  return result;
}
inline TrainingResult train(network::Network network, const TrainingInput& input) {
  Witness witness;
  return train(std::move(network), input, witness);
}

inline std::filesystem::path checkpoint_in(const std::filesystem::path& folder) {
  return folder / "checkpoint/last/state.safetensors";
}

/// A checkpoint's state without the times it holds.
inline nlohmann::json timeless_state(const SafetensorsFile& checkpoint) {
  nlohmann::json state = nlohmann::json::parse(checkpoint.metadata().at("mien.checkpoint"));
  state.erase("seconds");
  for (auto& row : state["history"]) row.erase(6);
  return state;
}

inline bool same_bytes(const NamedArray& one, const NamedArray& other) {
  return one.name == other.name && one.shape == other.shape && one.bytes.size() == other.bytes.size() &&
         std::memcmp(one.bytes.data(), other.bytes.data(), one.bytes.size()) == 0;
}

/// Weights byte for byte; the checkpoint's tensors bit for bit, its history and state but for times.
inline void expect_same_outcome(const std::filesystem::path& found, const std::filesystem::path& wanted) {
  for (const char* name : {"weights/best.safetensors", "weights/last.safetensors"}) {
    EXPECT_TRUE(read_text(found / name) == read_text(wanted / name)) << name << " differs";
  }
  const SafetensorsFile one = SafetensorsFile::open(checkpoint_in(found));
  const SafetensorsFile other = SafetensorsFile::open(checkpoint_in(wanted));
  EXPECT_EQ(timeless_state(one), timeless_state(other));
  ASSERT_EQ(one.arrays().size(), other.arrays().size());
  ASSERT_GT(one.arrays().size(), 10U);
  for (size_t i = 0; i < one.arrays().size(); ++i) {
    EXPECT_TRUE(same_bytes(one.arrays()[i], other.arrays()[i])) << one.arrays()[i].name << " differs";
  }
}

}  // namespace mien::training

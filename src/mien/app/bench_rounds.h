#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mien/app/bench_task.h"
#include "mien/data/dataset.h"
#include "mien/network/graph.h"

namespace mien::app {

/// The middle one of `values` (the upper of two); 0 of none.
double median(std::vector<double> values);

/// `count` faces of the network's input size with random pixels and labels, the same in every call.
data::Dataset random_faces(const network::Graph& graph, int64_t count);

/// Median faces/s of Mien's training steps (batch from bytes, forward, loss, backward, Adam) over about `seconds`.
double mien_training_rate(const network::Graph& graph, int64_t batch_size, double seconds);
/// Seconds of one evaluation of `faces`, as `mien eval` does it: from bytes to logits.
double mien_evaluation_seconds(const network::Graph& graph, const data::Dataset& faces, int64_t batch_size);
/// Milliseconds of each of many predictions of one face, from bytes to logits, over about `seconds`.
std::vector<double> mien_latencies_ms(const network::Graph& graph, double seconds);

/// What the script pytorch_bench measured of the same network.
struct PytorchAnswer {
  bool succeeded = false;
  std::string version;
  double value = 0;  ///< train: faces/s; eval: seconds; latency: median milliseconds
  double high = 0;   ///< latency: 95th percentile in milliseconds
  int64_t peak_memory_bytes = 0;
};
/// Runs it with `mode` "train", "eval" (of `faces` faces) or "latency", with the threads this process computes with.
PytorchAnswer ask_pytorch(const std::string& python,
                          const std::string& mode,
                          const network::Graph& graph,
                          int64_t batch_size,
                          double seconds,
                          int64_t faces = 0);

}  // namespace mien::app

#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mien/benchmarks/bench_process.h"
#include "mien/benchmarks/bench_task.h"
#include "mien/data/dataset.h"
#include "mien/network/graph/graph.h"
#include "mien/network/precision.h"

namespace mien::benchmarks {

/// The middle one of `values` (the upper of two); 0 of none.
double median(std::vector<double> values);

/// `count` faces of the network's input size with random pixels and labels, the same in every call.
data::Dataset random_faces(const network::Graph& graph, int64_t count);

/// 0 to `count` - 1.
std::vector<int64_t> first_rows(int64_t count);

/// How long the steps of a training are measured: `warm_up` steps that do not count, then steps for about `seconds`, at
/// least `least`.
struct StepBudget {
  double seconds = 4;
  int64_t warm_up = 2;
  int64_t least = 3;
};

/// Median faces/s of Mien's training steps (batch from bytes, forward, loss, backward, Adam).
double mien_training_rate(const network::Graph& graph,
                          int64_t batch_size,
                          const StepBudget& budget,
                          network::Precision precision = network::Precision::float32);
/// Seconds of one evaluation of `faces`, as `mien eval` does it: from bytes to logits.
double mien_evaluation_seconds(const network::Graph& graph, const data::Dataset& faces, int64_t batch_size);
/// Milliseconds of each of many predictions of one face, from bytes to logits, over about `seconds`.
std::vector<double> mien_latencies_ms(const network::Graph& graph, double seconds);

/// How PyTorch's process gets its memory. As installed, glibc returns blocks of more than 32 MiB to the kernel at once
/// and takes them back in the next step, page fault by page fault; with the three variables below it keeps them.
enum class PytorchMemory { as_installed, without_page_faults };
inline constexpr PytorchMemory kPytorchMemories[] = {PytorchMemory::as_installed, PytorchMemory::without_page_faults};
/// "as installed" or "without page faults".
std::string to_text(PytorchMemory memory);
/// What the measurements are called in JSON and csv: "pytorch_as_installed" or "pytorch_without_page_faults".
std::string json_key(PytorchMemory memory);
/// MALLOC_MMAP_THRESHOLD_, MALLOC_TRIM_THRESHOLD_ and MALLOC_TOP_PAD_ set or, as installed, taken away.
EnvironmentChanges malloc_environment(PytorchMemory memory);

/// "eager", "compile" (torch.compile), "bf16" (torch.autocast) and "compile+bf16".
std::vector<std::string> pytorch_modes();

/// What the script pytorch_bench measured of the same network.
struct PytorchAnswer {
  bool succeeded = false;
  std::string version;
  double value = 0;  ///< train: faces/s; eval: seconds; latency: median milliseconds
  double high = 0;   ///< latency: 95th percentile in milliseconds
  int64_t peak_memory_bytes = 0;
  std::string error;  ///< the last line of what it had to say where it did not succeed
};
/// Runs it with `mode` "train", "eval" (of `faces` faces) or "latency", with the threads this process computes with;
/// `pytorch_mode` is one of pytorch_modes().
PytorchAnswer ask_pytorch(const std::string& python,
                          PytorchMemory memory,
                          const std::string& mode,
                          const network::Graph& graph,
                          int64_t batch_size,
                          const StepBudget& budget,
                          int64_t faces = 0,
                          const std::string& pytorch_mode = "eager");

}  // namespace mien::benchmarks

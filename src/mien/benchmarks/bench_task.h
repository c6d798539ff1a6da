#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mien/core/options.h"
#include "mien/core/progress.h"

namespace mien::benchmarks {

struct BenchOptions {
  std::vector<std::string> networks{"box3", "leaky4", "plain6", "stage5", "dnn3", "resnet18-48", "tiny-mobile"};
  int64_t batch_size = 128;
  int64_t rounds = 3;
  double seconds = 4;
  std::string python = "/usr/bin/python3";
  int64_t threads = 0;
  std::string precision = "float32";  ///< of Mien's training; an option of `mien bench train` alone
  std::string pytorch_mode = "eager";
  bool machine_rates = true;  ///< whether bench_train measures the machine, too; an option of `mien bench train` alone
  void bind(OptionSet& options);
};

/// What a bench has measured, for people and for programs.
struct BenchReport {
  std::string text;
  std::string json;
};

/// Faces/s of whole training steps (batch from bytes, forward, loss, backward, Adam) on random faces, Mien and PyTorch
/// in turn, round by round, in one run: the same network built from the same graph, channels-last, the same threads,
/// batch and optimizer. PyTorch is measured twice a round: as installed, and without page faults (PytorchMemory in
/// bench_rounds.h). Beside them the floating-point operations of convolutions and dense layers (forward and twice
/// backward) as shares of three rates of the machine (machine_speed.h). Every bench says nothing of PyTorch where
/// `python` is empty, and warns with PyTorch's last line where it fails.
BenchReport bench_train(const BenchOptions& options, ProgressListener& listener);

/// Seconds of one evaluation of `faces` random faces from bytes to scores, in turn with PyTorch; medians over rounds.
BenchReport bench_eval(const BenchOptions& options, int64_t faces, ProgressListener& listener);

/// Milliseconds from the bytes of one face to its scores: median and 95th percentile.
BenchReport bench_latency(const BenchOptions& options, ProgressListener& listener);

/// Largest resident set of processes of their own that train each network for some steps, Mien's and PyTorch's; the
/// ratio is PyTorch's to Mien's.
BenchReport bench_memory(const BenchOptions& options, ProgressListener& listener);

/// Milliseconds that `mien --help` and a usage error take beside `import torch`, the median of `runs` starts each.
BenchReport bench_start(const BenchOptions& options, int64_t runs, ProgressListener& listener);

/// Seconds of explanations on fresh weights: LIME, RISE, occlusion and Grad-CAM beside the network's bare passes that
/// they need, and those, integrated gradients and ascent beside the plain libtorch loop over one mask, face or filter
/// at a time (projected from its first turns); medians over options.rounds. Grad-CAM explains `faces` random faces.
BenchReport bench_explain(const BenchOptions& options, int64_t faces, ProgressListener& listener);

/// Training, evaluation, latency, memory and start in one run, for one page.
BenchReport bench_all(const BenchOptions& options, ProgressListener& listener);

/// Reads `csv` `options.rounds` times: Mien's median megabytes a second from the file cache beside one run of pandas +
/// numpy.
BenchReport bench_csv(const std::string& csv, const BenchOptions& options, ProgressListener& listener);

struct ScalingOptions {
  std::vector<std::string> by{"batch", "threads", "side", "width", "data"};
  std::string out = "runs/bench";
  double seconds = 2;
  bool pytorch = true;
  int64_t most = 1024;
  void bind(OptionSet& options);
};

/// How the cost grows: faces/s against batch size (1, 2, 4 ... scaling.most), threads (1, 2, 4 ... all), image side
/// (48, 96, 192; batches of at most 32) and width multiplier (0.25 ... 4), Mien and PyTorch as installed and without
/// page faults, and the seconds of Mien's epoch against the number of faces with the straight line through them and its
/// R^2. A point takes a step to warm up and steps for scaling.seconds, at least one. Writes one csv and, where pictures
/// can be drawn, one png a request into scaling.out. `network` is a built-in one or a file.
BenchReport bench_scaling(const std::string& network,
                          const BenchOptions& options,
                          const ScalingOptions& scaling,
                          ProgressListener& listener);

}  // namespace mien::benchmarks

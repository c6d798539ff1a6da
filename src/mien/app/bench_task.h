#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mien/core/log.h"
#include "mien/core/options.h"

namespace mien::app {

struct BenchOptions {
  std::vector<std::string> networks{"box3", "leaky4", "plain6", "stage5", "dnn3"};
  int64_t batch_size = 128;
  int64_t rounds = 3;
  double seconds = 4;
  std::string python = "/usr/bin/python3";
  int64_t threads = 0;
  void bind(OptionSet& options);
};

struct BenchRow {
  std::string network;
  double mien_faces_per_second = 0;     ///< median over rounds
  double pytorch_faces_per_second = 0;  ///< median over rounds; 0 where there is no PyTorch
  double ratio = 0;                     ///< median of the rounds' ratios, Mien / PyTorch
  double ratio_low = 0, ratio_high = 0; ///< smallest and largest of them
  double gflops = 0;                    ///< Mien's, of convolutions and dense layers, forward and twice backward
};

struct BenchResult {
  std::vector<BenchRow> rows;
  double sgemm_gflops = 0;      ///< the machine's, measured in the same run
  std::string pytorch_version;  ///< empty where there is none
  int64_t batch_size = 0;
  int threads = 0;
};

/// Samples/s of whole training steps (batch from bytes, forward, loss, backward, Adam) on random faces, Mien and PyTorch
/// in turn, round by round, in one run: the same network built from the same graph, channels-last, the same threads,
/// batch and optimiser.
BenchResult bench_train(const BenchOptions& options, Listener& listener);
std::string bench_text(const BenchResult& result);
std::string bench_json(const BenchResult& result);

/// Reads `csv` several times: Mien's megabytes a second beside pandas + numpy (one run, in turn).
struct CsvBenchResult {
  double megabytes = 0;
  double mien_seconds = 0;    ///< median
  double pandas_seconds = 0;  ///< one run; 0 where python has no pandas
};
CsvBenchResult bench_csv(const std::string& csv, const BenchOptions& options, Listener& listener);

}  // namespace mien::app

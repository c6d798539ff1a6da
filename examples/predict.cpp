// Predicts the faces of a csv or folder: predict WEIGHTS DATA
#include <numeric>
#include <vector>

#include <fmt/core.h>

#include "mien/data/load.h"
#include "mien/evaluation/evaluator.h"
#include "mien/network/network.h"
#include "mien/runtime/environment.h"

int main(int argc, char** argv) try {
  if (argc != 3) {
    fmt::print(stderr, "usage: predict WEIGHTS DATA\n");
    return 2;
  }
  mien::runtime::configure_threads(0);  // the program's choice: the library changes nothing of the process unasked
  const auto loaded = mien::network::load_weights(argv[1]);
  mien::data::DataOptions options;
  options.data = argv[2];
  const auto faces = mien::data::load(options, mien::silent_listener());
  std::vector<int64_t> rows(static_cast<size_t>(faces.size()));
  std::iota(rows.begin(), rows.end(), 0);
  const auto predictions = mien::evaluation::predict(loaded.network, loaded.info.normalization, faces, rows);
  for (int64_t i = 0; i < predictions.size(); ++i) {
    const auto best = static_cast<size_t>(predictions.predicted(i));
    fmt::print("{},{},{:.3f}\n",
               rows[static_cast<size_t>(i)],
               loaded.info.class_names[best],
               predictions.probability_row(i)[best]);
  }
} catch (const std::exception& error) {
  fmt::print(stderr, "predict: {}\n", error.what());
  return 1;
}

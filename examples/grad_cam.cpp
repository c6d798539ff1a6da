// Prints where a network looks in the first face: grad_cam WEIGHTS DATA
#include <vector>

#include <ATen/ATen.h>
#include <fmt/core.h>

#include "mien/data/load.h"
#include "mien/evaluation/evaluator.h"
#include "mien/explain/explain.h"
#include "mien/network/network.h"
#include "mien/runtime/environment.h"

int main(int argc, char** argv) try {
  if (argc != 3) {
    fmt::print(stderr, "usage: grad_cam WEIGHTS DATA\n");
    return 2;
  }
  mien::runtime::configure_threads(0);
  const auto loaded = mien::network::load_weights(argv[1]);
  mien::data::DataOptions options;
  options.data = argv[2];
  const auto faces = mien::data::load(options, mien::silent_listener());
  const std::vector<int64_t> rows{0};
  const auto predictions = mien::evaluation::predict(loaded.network, loaded.info.normalization, faces, rows);
  const int64_t target = predictions.predicted(0);
  const at::Tensor image = mien::evaluation::normalized_images(faces, loaded.info.normalization, rows);
  const auto maps = mien::explain::grad_cam(loaded.network, image, at::tensor({target}, at::kLong));
  const at::Tensor map = at::adaptive_avg_pool2d(maps.values.unsqueeze(1), {8, 8})[0][0];
  fmt::print("{}, mean of the map in 8x8 cells:\n", loaded.info.class_names[static_cast<size_t>(target)]);
  for (int64_t y = 0; y < 8; ++y) {
    for (int64_t x = 0; x < 8; ++x) fmt::print("{:7.3f}", map[y][x].item<float>());
    fmt::print("\n");
  }
} catch (const std::exception& error) {
  fmt::print(stderr, "grad_cam: {}\n", error.what());
  return 1;
}

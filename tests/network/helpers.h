#pragma once

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "mien/core/error.h"
#include "mien/core/random.h"
#include "mien/core/safetensors.h"
#include "mien/network/graph/graph.h"
#include "mien/network/library_check.h"
#include "mien/network/network.h"

namespace mien::network {

/// A network file with the given layers on 8x8 images; the layers stand in line 3.
inline std::string file_of(const std::string& layers, const std::string& input = "[1, 8, 8]") {
  return fmt::format("name = \"n\"\ninput = {}\nlayers = [{}]\n", input, layers);
}

inline Graph graph_of(const std::string& layers, const std::string& input = "[1, 8, 8]") {
  return parse_graph(file_of(layers, input), "n.toml");
}

/// Images in [0, 1), the same for the same seed.
inline at::Tensor random_images(const Graph& graph, int64_t count, uint64_t seed = 1) {
  const Shape shape = graph.input_shape();
  at::Tensor images = at::empty({count, shape.channels, shape.height, shape.width}, at::kFloat);
  RandomStream random(seed, "test images");
  for (int64_t i = 0; i < images.numel(); ++i) images.data_ptr<float>()[i] = static_cast<float>(random.uniform());
  return images;
}

/// Values in [low, high), the same for the same purpose.
inline at::Tensor random_tensor(const std::vector<int64_t>& sizes,
                                const std::string& purpose,
                                double low = -1,
                                double high = 1) {
  at::Tensor values = at::empty(sizes, at::kFloat);
  RandomStream random(7, purpose);
  for (int64_t i = 0; i < values.numel(); ++i)
    values.data_ptr<float>()[i] = static_cast<float>(random.uniform(low, high));
  return values;
}

/// What tells a number from the reference's of another program: `strict`; or, where oneDNN is switched off because it
/// is wrong on this machine (library_check.h), a twentieth: convolutions round otherwise there, and a ReLU or a max
/// pool that all but ties then chooses otherwise, which changes what lies below it.
inline double reference_tolerance(double strict) {
  return library_convolutions_are_right() ? strict : std::max(strict, 0.05);
}

/// Largest absolute difference as a share of the largest absolute expected value.
inline double relative_difference(const at::Tensor& found, const at::Tensor& expected) {
  EXPECT_EQ(found.sizes(), expected.sizes());
  return ((found - expected).abs().max() / expected.abs().max()).item<double>();
}

inline at::Tensor tensor_of(const SafetensorsFile& file, const std::string& name) {
  const auto values = file.floats(name);
  return at::from_blob(const_cast<float*>(values.data()), file.find(name)->shape, at::kFloat).clone();
}

/// What `action` throws, as "code: message. hint: hint"; empty if it throws nothing.
template <class Action>
std::string error_of(Action action) {
  try {
    action();
  } catch (const Error& error) {
    const char* code = error.code() == ErrorCode::usage      ? "usage"
                       : error.code() == ErrorCode::bad_data ? "bad data"
                                                             : "failed";
    return fmt::format("{}: {}", code, error.line());
  }
  return {};
}

inline std::filesystem::path fixtures() { return std::filesystem::path(MIEN_SOURCE_DIR) / "tests/fixtures"; }

}  // namespace mien::network

#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "mien/core/error.h"
#include "mien/core/random.h"
#include "mien/core/safetensors.h"

namespace mien::training {

inline std::filesystem::path fixtures() { return std::filesystem::path(MIEN_SOURCE_DIR) / "tests/fixtures"; }

/// What make_fixtures.py computed with PyTorch.
inline const nlohmann::json& expected() {
  static const nlohmann::json values = nlohmann::json::parse(std::ifstream(fixtures() / "training/expected.json"));
  return values;
}

/// A JSON list of numbers, or of lists of numbers, as a float32 tensor.
inline at::Tensor tensor_of(const nlohmann::json& list) {
  std::vector<double> values;
  std::vector<int64_t> shape{static_cast<int64_t>(list.size())};
  if (list.at(0).is_array()) shape.push_back(static_cast<int64_t>(list.at(0).size()));
  for (const auto& item : list) {
    if (!item.is_array()) {
      values.push_back(item.get<double>());
    } else {
      for (const auto& value : item) values.push_back(value.get<double>());
    }
  }
  at::Tensor result = at::empty(shape, at::kDouble);
  std::copy(values.begin(), values.end(), result.data_ptr<double>());
  return result.to(at::kFloat);
}

inline at::Tensor tensor_of(const SafetensorsFile& file, const std::string& name) {
  const auto values = file.floats(name);
  return at::from_blob(const_cast<float*>(values.data()), file.find(name)->shape, at::kFloat).clone();
}

/// Normal values that depend on `seed` alone.
inline at::Tensor random_normal(at::IntArrayRef shape, uint64_t seed, at::ScalarType type = at::kFloat) {
  at::Tensor result = at::empty(shape, at::kDouble);
  RandomStream random(seed, "test values");
  for (int64_t i = 0; i < result.numel(); ++i) result.data_ptr<double>()[i] = random.normal();
  return result.to(type);
}

/// One row a label, 1 at the label.
inline at::Tensor one_hot(const std::vector<int64_t>& labels, int64_t classes, at::ScalarType type = at::kFloat) {
  at::Tensor result = at::zeros({static_cast<int64_t>(labels.size()), classes}, type);
  for (size_t i = 0; i < labels.size(); ++i) result[static_cast<int64_t>(i)][labels[i]] = 1;
  return result;
}

inline double largest_difference(const at::Tensor& found, const at::Tensor& wanted) {
  EXPECT_EQ(found.sizes(), wanted.sizes());
  return (found.detach() - wanted.detach()).abs().max().item<double>();
}

}  // namespace mien::training

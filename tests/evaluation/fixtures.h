#pragma once

#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "mien/core/error.h"
#include "mien/evaluation/predictions.h"
#include "mien/evaluation/predictions_csv.h"

namespace mien::evaluation {

inline std::string fixture_path(const std::string& name) {
  return std::string(MIEN_SOURCE_DIR) + "/tests/fixtures/evaluation/" + name;
}

/// What make_fixtures.py computed with scikit-learn and scipy.
inline const nlohmann::json& reference() {
  static const nlohmann::json values = nlohmann::json::parse(std::ifstream(fixture_path("expected.json")));
  return values;
}

/// Predictions of rows 0, 1, 2, ... with the given probabilities [N][K], classes a, b, c, ..., and zero logits.
inline Predictions make_predictions(const std::vector<int32_t>& labels, const std::vector<std::vector<double>>& rows) {
  Predictions predictions;
  for (size_t k = 0; k < rows[0].size(); ++k)
    predictions.class_names.push_back(std::string(1, static_cast<char>('a' + k)));
  for (size_t i = 0; i < rows.size(); ++i) {
    predictions.rows.push_back(static_cast<int64_t>(i));
    predictions.probabilities.insert(predictions.probabilities.end(), rows[i].begin(), rows[i].end());
  }
  predictions.labels = labels;
  predictions.logits.resize(predictions.probabilities.size());
  return predictions;
}

/// Message of the Error that `action` throws; a test failure and "" if it throws none or one of another code.
template <class Action>
std::string message_of(ErrorCode code, Action action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

}  // namespace mien::evaluation

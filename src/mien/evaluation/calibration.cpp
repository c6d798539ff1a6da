#include "mien/evaluation/calibration.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <stdexcept>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/text.h"

namespace mien::evaluation {
namespace {

/// Mean of -ln softmax(logits / temperature)[label] over labeled rows, without clipping.
double log_loss_at(const Predictions& predictions, double temperature) {
  double sum = 0;
  int64_t count = 0;
  for (int64_t i = 0; i < predictions.size(); ++i) {
    if (!predictions.is_labeled(i)) continue;
    const std::span<const double> row = predictions.logit_row(i);
    const double largest = *std::max_element(row.begin(), row.end());
    double total = 0;
    for (const double logit : row) total += std::exp((logit - largest) / temperature);
    const double of_label = row[static_cast<size_t>(predictions.labels[static_cast<size_t>(i)])];
    sum += std::log(total) - (of_label - largest) / temperature;
    ++count;
  }
  return sum / static_cast<double>(count);
}

}  // namespace

std::vector<ReliabilityBin> reliability_bins(const Predictions& predictions, int64_t bins) {
  if (bins <= 0) throw std::invalid_argument("reliability_bins: expected at least one bin");
  std::vector<ReliabilityBin> result(static_cast<size_t>(bins));
  for (int64_t b = 0; b < bins; ++b) {
    result[static_cast<size_t>(b)].low = static_cast<double>(b) / static_cast<double>(bins);
    result[static_cast<size_t>(b)].high = static_cast<double>(b + 1) / static_cast<double>(bins);
  }
  std::vector<int64_t> correct(result.size());
  for (int64_t i = 0; i < predictions.size(); ++i) {
    if (!predictions.is_labeled(i)) continue;
    const int32_t predicted = predictions.predicted(i);
    const double confidence = predictions.probability_row(i)[static_cast<size_t>(predicted)];
    const auto bin =
        std::lower_bound(result.begin(), result.end() - 1, confidence, [](const ReliabilityBin& b, double value) {
          return b.high < value;
        });
    bin->count += 1;
    bin->confidence += confidence;
    if (predicted == predictions.labels[static_cast<size_t>(i)])
      correct[static_cast<size_t>(bin - result.begin())] += 1;
  }
  for (size_t b = 0; b < result.size(); ++b) {
    const auto count = static_cast<double>(result[b].count);  // 0 / 0 is the NaN that is promised
    result[b].confidence /= count;
    result[b].accuracy = static_cast<double>(correct[b]) / count;
    result[b].accuracy_interval = wilson_interval(correct[b], result[b].count);
  }
  return result;
}

double expected_calibration_error(const std::vector<ReliabilityBin>& bins) {
  double sum = 0;
  int64_t count = 0;
  for (const ReliabilityBin& bin : bins) {
    if (bin.count > 0) sum += static_cast<double>(bin.count) * std::abs(bin.accuracy - bin.confidence);
    count += bin.count;
  }
  return count > 0 ? sum / static_cast<double>(count) : 0;
}

double maximum_calibration_error(const std::vector<ReliabilityBin>& bins) {
  double largest = 0;
  for (const ReliabilityBin& bin : bins) {
    if (bin.count > 0) largest = std::max(largest, std::abs(bin.accuracy - bin.confidence));
  }
  return largest;
}

std::string reliability_csv(const std::vector<ReliabilityBin>& bins) {
  std::string text = "low,high,count,confidence,accuracy,accuracy_low,accuracy_high\n";
  for (const ReliabilityBin& bin : bins) {
    text += fmt::format("{},{},{},", format_double(bin.low), format_double(bin.high), bin.count);
    if (bin.count > 0) {
      text += fmt::format("{},{},{},{}\n",
                          format_double(bin.confidence),
                          format_double(bin.accuracy),
                          format_double(bin.accuracy_interval.low),
                          format_double(bin.accuracy_interval.high));
    } else {
      text += ",,,\n";
    }
  }
  return text;
}

double fit_temperature(const Predictions& predictions) {
  const auto labeled = [](int32_t label) { return label >= 0; };
  if (std::none_of(predictions.labels.begin(), predictions.labels.end(), labeled)) {
    throw_bad_data("cannot fit a temperature: none of the predictions has a label");
  }
  // The log loss is convex in 1 / temperature, so it has one valley in ln(temperature): golden section search.
  constexpr double kShrink = 1 / std::numbers::phi;
  const auto loss = [&](double log_temperature) { return log_loss_at(predictions, std::exp(log_temperature)); };
  double low = std::log(0.01);
  double high = std::log(100.0);
  double left = high - kShrink * (high - low);
  double right = low + kShrink * (high - low);
  double loss_left = loss(left);
  double loss_right = loss(right);
  while (high - low > 1e-7) {
    if (loss_left <= loss_right) {
      high = right;
      right = left;
      loss_right = loss_left;
      left = high - kShrink * (high - low);
      loss_left = loss(left);
    } else {
      low = left;
      left = right;
      loss_left = loss_right;
      right = low + kShrink * (high - low);
      loss_right = loss(right);
    }
  }
  return std::exp((low + high) / 2);
}

Predictions with_temperature(const Predictions& predictions, double temperature) {
  if (!(temperature > 0)) throw std::invalid_argument("with_temperature: expected a temperature above 0");
  Predictions result = predictions;
  for (double& logit : result.logits) logit /= temperature;
  softmax_rows(result.logits, result.classes(), result.probabilities);
  return result;
}

}  // namespace mien::evaluation

#include "mien/data/preprocess.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "mien/core/error.h"

namespace mien::data {
namespace {

using network::Normalization;

constexpr double kLeastDeviation = 1e-3;  // of x/255; a black image has none

struct Moments {
  double mean = 0, deviation = 0;  // of x/255
};

Moments moments_of(long double count, long double sum, long double sum_of_squares) {
  if (count == 0) return {};
  const long double mean = sum / count;
  const long double variance = std::max(0.0L, sum_of_squares / count - mean * mean);
  return {static_cast<double>(mean / 255), static_cast<double>(std::sqrt(variance) / 255)};
}

void add_bytes(std::span<const uint8_t> bytes, uint64_t& sum, uint64_t& sum_of_squares) {
  // 32-bit sums let the loop be vectorized; 65536 squares of bytes fit into them.
  constexpr size_t kBlock = 65536;
  for (size_t begin = 0; begin < bytes.size(); begin += kBlock) {
    uint32_t block_sum = 0;
    uint32_t block_squares = 0;
    for (const uint8_t byte : bytes.subspan(begin, std::min(kBlock, bytes.size() - begin))) {
      block_sum += byte;
      block_squares += static_cast<uint32_t>(byte) * byte;
    }
    sum += block_sum;
    sum_of_squares += block_squares;
  }
}

Moments moments_of(std::span<const uint8_t> bytes) {
  uint64_t sum = 0;
  uint64_t sum_of_squares = 0;
  add_bytes(bytes, sum, sum_of_squares);
  return moments_of(static_cast<long double>(bytes.size()), sum, sum_of_squares);
}

Moments moments_of(std::span<const float> levels) {
  // Several accumulators, because one alone waits for its own additions. Levels below 256 lose nothing in a double.
  constexpr size_t kLanes = 8;
  double sums[kLanes] = {};
  double squares[kLanes] = {};
  size_t i = 0;
  for (; i + kLanes <= levels.size(); i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) {
      const double level = levels[i + lane];
      sums[lane] += level;
      squares[lane] += level * level;
    }
  }
  for (; i < levels.size(); ++i) {
    sums[0] += levels[i];
    squares[0] += static_cast<double>(levels[i]) * levels[i];
  }
  long double sum = 0;
  long double sum_of_squares = 0;
  for (size_t lane = 0; lane < kLanes; ++lane) {
    sum += sums[lane];
    sum_of_squares += squares[lane];
  }
  return moments_of(static_cast<long double>(levels.size()), sum, sum_of_squares);
}

/// Level x becomes (x - mean) * factor.
struct Line {
  float mean, factor;
};

/// That of `levels` where the normalization is not `scale`, which divides by 255 instead.
template <class Level>
Line line_of(std::span<const Level> levels, const Normalization& normalization) {
  const Moments moments = normalization.kind == Normalization::Kind::per_image
                              ? moments_of(levels)
                              : Moments{normalization.mean, normalization.deviation};
  return {static_cast<float>(255 * moments.mean),
          static_cast<float>(1 / (255 * std::max(moments.deviation, kLeastDeviation)))};
}

/// out = (x/255 - mean) / deviation.
template <class Level>
void normalize(std::span<const Level> levels, const Normalization& normalization, float* out) {
  if (normalization.kind == Normalization::Kind::scale) {
    for (size_t i = 0; i < levels.size(); ++i) out[i] = static_cast<float>(levels[i]) / 255.0F;
    return;
  }
  const auto [mean, factor] = line_of(levels, normalization);
  for (size_t i = 0; i < levels.size(); ++i) out[i] = (static_cast<float>(levels[i]) - mean) * factor;
}

}  // namespace

void normalize_image(std::span<const uint8_t> image, const Normalization& normalization, float* out) {
  normalize(image, normalization, out);
}

float black_level(std::span<const uint8_t> image, const Normalization& normalization) {
  if (normalization.kind == Normalization::Kind::scale) return 0;
  const auto [mean, factor] = line_of(image, normalization);
  return (0.0F - mean) * factor;
}

void normalize_levels(std::span<float> levels, const Normalization& normalization) {
  normalize(std::span<const float>(levels), normalization, levels.data());
}

Normalization fit_normalization(Normalization::Kind kind,
                                const Dataset& dataset,
                                std::span<const int64_t> training_rows) {
  Normalization normalization{kind, 0, 1};
  if (kind != Normalization::Kind::dataset) return normalization;
  uint64_t sum = 0;
  uint64_t sum_of_squares = 0;
  for (const int64_t row : training_rows) {
    if (row < 0 || row >= dataset.size()) {
      throw_bad_data(fmt::format("cannot measure the normalization of {}: found row {}, expected one below {}",
                                 dataset.source,
                                 row,
                                 dataset.size()));
    }
    add_bytes(dataset.image(row), sum, sum_of_squares);
  }
  const auto count = static_cast<long double>(training_rows.size()) * dataset.pixels_per_image();
  if (count == 0) {
    throw_bad_data(fmt::format("cannot measure the normalization of {}: found no training rows, expected at least one",
                               dataset.source));
  }
  const Moments moments = moments_of(count, sum, sum_of_squares);
  normalization.mean = moments.mean;
  normalization.deviation = std::max(moments.deviation, kLeastDeviation);
  return normalization;
}

}  // namespace mien::data

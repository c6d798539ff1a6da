#include "mien/data/near_copies.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <mutex>
#include <numbers>
#include <numeric>
#include <tuple>

#include "mien/core/parallel.h"

namespace mien::data {
namespace {

constexpr int64_t kSide = 8;
constexpr size_t kCoefficients = kSide * kSide;
constexpr size_t kAxes = 3;         // coefficients that the bins divide
constexpr int64_t kMostBins = 64;   // along one axis
constexpr float kRounding = 1e-5F;  // of single-precision distances; candidates are confirmed in double precision

/// Cosine coefficients of an image's 8x8 means, the constant one left out, scaled to length 1. The transform is
/// orthonormal, so the dot product of two summaries is the correlation of the means, each coefficient alone bounds the
/// distance from below, and mirroring flips the sign of the odd horizontal frequencies.
struct Summary {
  std::array<float, kCoefficients> values{};
};

/// cosine[frequency][place] of the orthonormal transform of 8 values (DCT-II).
std::array<std::array<double, kSide>, kSide> cosine_table() {
  std::array<std::array<double, kSide>, kSide> table{};
  for (int64_t frequency = 0; frequency < kSide; ++frequency) {
    const double scale = std::sqrt((frequency == 0 ? 1.0 : 2.0) / kSide);
    for (int64_t place = 0; place < kSide; ++place) {
      const double angle =
          std::numbers::pi * static_cast<double>(frequency) * (static_cast<double>(place) + 0.5) / kSide;
      table[static_cast<size_t>(frequency)][static_cast<size_t>(place)] = scale * std::cos(angle);
    }
  }
  return table;
}

/// [8, 8] means over all channels.
std::array<double, kCoefficients> block_means(const Dataset& dataset, int64_t row) {
  const auto image = dataset.image(row);
  std::array<double, kCoefficients> means{};
  for (int64_t by = 0; by < kSide; ++by) {
    for (int64_t bx = 0; bx < kSide; ++bx) {
      const int64_t top = dataset.height * by / kSide, bottom = dataset.height * (by + 1) / kSide;
      const int64_t left = dataset.width * bx / kSide, right = dataset.width * (bx + 1) / kSide;
      int64_t sum = 0;
      for (int64_t channel = 0; channel < dataset.channels; ++channel) {
        for (int64_t y = top; y < bottom; ++y) {
          const uint8_t* const line = image.data() + (channel * dataset.height + y) * dataset.width;
          for (int64_t x = left; x < right; ++x) sum += line[x];
        }
      }
      const auto area = static_cast<double>((bottom - top) * (right - left) * dataset.channels);
      means[static_cast<size_t>(by * kSide + bx)] = static_cast<double>(sum) / area;
    }
  }
  return means;
}

/// False where the means are all equal, so that no direction is left.
bool summarize(const Dataset& dataset, int64_t row, Summary& summary) {
  static const auto kCosine = cosine_table();
  const auto means = block_means(dataset, row);
  std::array<double, kCoefficients> half{};  // transformed along x
  for (size_t y = 0; y < kSide; ++y) {
    for (size_t u = 0; u < kSide; ++u) {
      for (size_t x = 0; x < kSide; ++x) half[y * kSide + u] += kCosine[u][x] * means[y * kSide + x];
    }
  }
  std::array<double, kCoefficients> whole{};
  for (size_t v = 0; v < kSide; ++v) {
    for (size_t u = 0; u < kSide; ++u) {
      for (size_t y = 0; y < kSide; ++y) whole[v * kSide + u] += kCosine[v][y] * half[y * kSide + u];
    }
  }
  whole[0] = 0;
  const double length = std::sqrt(std::inner_product(whole.begin(), whole.end(), whole.begin(), 0.0));
  if (length < 1e-6) return false;
  for (size_t i = 0; i < kCoefficients; ++i) summary.values[i] = static_cast<float>(whole[i] / length);
  return true;
}

Summary mirror(const Summary& summary) {
  Summary out = summary;
  for (size_t i = 1; i < kCoefficients; i += 2) out.values[i] = -out.values[i];  // odd i: odd horizontal frequency
  return out;
}

/// Squared distance; a value above `limit` may be only the first part of it.
float squared_distance(const Summary& a, const Summary& b, float limit) {
  constexpr size_t kLanes = 16;  // independent sums, which the compiler can keep in vector registers
  std::array<float, kLanes> sums{};
  float total = 0;
  for (size_t begin = 0; begin < kCoefficients; begin += kLanes) {
    for (size_t i = 0; i < kLanes; ++i) {
      const float difference = a.values[begin + i] - b.values[begin + i];
      sums[i] = difference * difference;
    }
    for (size_t width = kLanes / 2; width > 0; width /= 2) {
      for (size_t i = 0; i < width; ++i) sums[i] += sums[i + width];
    }
    total += sums[0];
    if (total > limit) return total;
  }
  return total;
}

/// Pearson's correlation of two images, the second one mirrored on request; 0 where one of them is constant.
double correlate(const Dataset& dataset, int64_t first, int64_t second, bool mirrored) {
  const auto a = dataset.image(first);
  const auto b = dataset.image(second);
  int64_t sum_a = 0, sum_b = 0, sum_aa = 0, sum_bb = 0, sum_ab = 0;
  for (int64_t begin = 0; begin < dataset.pixels_per_image(); begin += dataset.width) {
    int32_t line_a = 0, line_b = 0;
    int64_t line_aa = 0, line_bb = 0, line_ab = 0;
    for (int64_t x = 0; x < dataset.width; ++x) {
      const int32_t value_a = a[static_cast<size_t>(begin + x)];
      const int32_t value_b = b[static_cast<size_t>(begin + (mirrored ? dataset.width - 1 - x : x))];
      line_a += value_a;
      line_b += value_b;
      line_aa += value_a * value_a;
      line_bb += value_b * value_b;
      line_ab += value_a * value_b;
    }
    sum_a += line_a;
    sum_b += line_b;
    sum_aa += line_aa;
    sum_bb += line_bb;
    sum_ab += line_ab;
  }
  // n^2 times covariance and variances: whole numbers below 2^53 for images up to a million pixels
  const auto n = dataset.pixels_per_image();
  const auto covariance = static_cast<double>(n * sum_ab - sum_a * sum_b);
  const auto variance_a = static_cast<double>(n * sum_aa - sum_a * sum_a);
  const auto variance_b = static_cast<double>(n * sum_bb - sum_b * sum_b);
  if (variance_a <= 0 || variance_b <= 0) return 0;
  return covariance / std::sqrt(variance_a * variance_b);
}

/// Summaries sorted into cubes at least `radius` wide, by the coefficients that vary most: whatever lies within
/// `radius` of a point is in its cube or one of the 26 around it.
class Bins {
 public:
  Bins(std::vector<Summary> summaries, std::vector<int64_t> rows, double radius) {
    per_axis_ = std::clamp<int64_t>(static_cast<int64_t>(2.0 / radius), 1, kMostBins);
    choose_axes(summaries);
    std::vector<size_t> order(summaries.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::vector<int64_t> bin(summaries.size());
    for (size_t i = 0; i < summaries.size(); ++i) bin[i] = index(place(summaries[i]));
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return bin[a] < bin[b]; });
    begins_.assign(static_cast<size_t>(per_axis_ * per_axis_ * per_axis_ + 1), 0);
    for (const int64_t b : bin) ++begins_[static_cast<size_t>(b) + 1];
    std::partial_sum(begins_.begin(), begins_.end(), begins_.begin());
    for (const size_t i : order) {
      summaries_.push_back(summaries[i]);
      rows_.push_back(rows[i]);
    }
  }

  int64_t size() const { return static_cast<int64_t>(rows_.size()); }
  const Summary& summary(int64_t i) const { return summaries_[static_cast<size_t>(i)]; }
  int64_t row(int64_t i) const { return rows_[static_cast<size_t>(i)]; }

  /// Calls visit(j) for every j that may lie within the radius of `summary`, until it returns false.
  template <class Visit>
  void for_neighbors(const Summary& summary, const Visit& visit) const {
    const std::array<int64_t, kAxes> center = place(summary);
    const auto low = [&](size_t axis) { return std::max<int64_t>(0, center[axis] - 1); };
    const auto high = [&](size_t axis) { return std::min(per_axis_ - 1, center[axis] + 1); };
    for (int64_t a = low(0); a <= high(0); ++a) {
      for (int64_t b = low(1); b <= high(1); ++b) {
        // bins along the last axis lie side by side
        const int64_t begin = begins_[static_cast<size_t>(index({a, b, low(2)}))];
        const int64_t end = begins_[static_cast<size_t>(index({a, b, high(2)})) + 1];
        for (int64_t j = begin; j < end; ++j) {
          if (!visit(j)) return;
        }
      }
    }
  }

 private:
  void choose_axes(const std::vector<Summary>& summaries) {
    std::array<double, kCoefficients> spread{};
    for (size_t c = 0; c < kCoefficients; ++c) {
      double sum = 0, squares = 0;
      for (const Summary& summary : summaries) {
        sum += summary.values[c];
        squares += static_cast<double>(summary.values[c]) * summary.values[c];
      }
      spread[c] = squares - sum * sum / static_cast<double>(std::max<size_t>(1, summaries.size()));
    }
    std::array<size_t, kCoefficients> order{};
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return spread[a] > spread[b]; });
    std::copy_n(order.begin(), kAxes, axes_.begin());
  }

  std::array<int64_t, kAxes> place(const Summary& summary) const {
    std::array<int64_t, kAxes> out{};
    for (size_t i = 0; i < kAxes; ++i) {
      const double from_zero = (static_cast<double>(summary.values[axes_[i]]) + 1) / 2;
      out[i] = std::clamp<int64_t>(static_cast<int64_t>(from_zero * static_cast<double>(per_axis_)), 0, per_axis_ - 1);
    }
    return out;
  }

  int64_t index(const std::array<int64_t, kAxes>& place) const {
    return (place[0] * per_axis_ + place[1]) * per_axis_ + place[2];
  }

  int64_t per_axis_ = 1;
  std::array<size_t, kAxes> axes_{};
  std::vector<int64_t> begins_;  // where each bin starts, and the end
  std::vector<Summary> summaries_;
  std::vector<int64_t> rows_;
};

}  // namespace

NearCopies find_near_copies(const Dataset& dataset,
                            const std::vector<int64_t>& rows,
                            double least_correlation,
                            bool mirrored) {
  if (dataset.height < kSide || dataset.width < kSide) return {};
  std::vector<Summary> summaries(rows.size());
  std::vector<uint8_t> usable(rows.size(), 0);
  parallel_for(static_cast<int64_t>(rows.size()), [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      usable[i] = summarize(dataset, rows[i], summaries[i]) ? 1 : 0;
    }
  });
  std::vector<Summary> used_summaries;
  std::vector<int64_t> used_rows;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (usable[i] == 0) continue;
    used_summaries.push_back(summaries[i]);
    used_rows.push_back(rows[i]);
  }
  // |a - b|^2 = 2 - 2 a.b for unit vectors
  const float limit = static_cast<float>(2 - 2 * least_correlation) + kRounding;
  const Bins bins(std::move(used_summaries), std::move(used_rows), std::sqrt(static_cast<double>(limit)));

  std::mutex mutex;
  std::vector<NearCopy> found;
  std::vector<int64_t> crowded;
  const auto look_for = [&](bool mirror_first) {
    parallel_for(bins.size(), [&](int64_t begin, int64_t end) {
      std::vector<NearCopy> here;
      std::vector<int64_t> crowded_here;
      for (int64_t i = begin; i < end; ++i) {
        const Summary query = mirror_first ? mirror(bins.summary(i)) : bins.summary(i);
        int64_t kept = 0;
        bins.for_neighbors(query, [&](int64_t j) {
          if (j <= i || squared_distance(query, bins.summary(j), limit) > limit) return true;
          const int64_t first = std::min(bins.row(i), bins.row(j));
          const int64_t second = std::max(bins.row(i), bins.row(j));
          const double correlation = correlate(dataset, first, second, mirror_first);
          if (correlation < least_correlation) return true;
          if (kept == kMostNearCopies) {
            crowded_here.push_back(bins.row(i));
            return false;
          }
          here.push_back({first, second, correlation, mirror_first});
          ++kept;
          return true;
        });
      }
      const std::lock_guard lock(mutex);
      found.insert(found.end(), here.begin(), here.end());
      crowded.insert(crowded.end(), crowded_here.begin(), crowded_here.end());
    });
  };
  look_for(false);
  if (mirrored) look_for(true);
  std::sort(found.begin(), found.end(), [](const NearCopy& a, const NearCopy& b) {
    return std::tuple(a.first, a.second, a.mirrored) < std::tuple(b.first, b.second, b.mirrored);
  });
  // a pair that is near both ways counts once, as it is
  const auto same_pair = [](const NearCopy& a, const NearCopy& b) {
    return a.first == b.first && a.second == b.second;
  };
  found.erase(std::unique(found.begin(), found.end(), same_pair), found.end());
  std::sort(crowded.begin(), crowded.end());
  crowded.erase(std::unique(crowded.begin(), crowded.end()), crowded.end());
  return {std::move(found), std::move(crowded)};
}

}  // namespace mien::data

#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>
#include <string_view>
#include <utility>
#include <vector>

namespace mien {

/// Random numbers as a function of (seed, purpose, index, counter): two streams that differ in any of them are
/// independent, a stream does not depend on threads or on what ran before, and nothing needs saving to resume.
/// The generator is SplitMix64 (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators") started
/// at a mixed hash of its coordinates.
class RandomStream {
 public:
  RandomStream(uint64_t seed, std::string_view purpose, uint64_t index = 0, uint64_t sub_index = 0) {
    uint64_t hash = 0xcbf29ce484222325ULL;  // FNV-1a of the purpose
    for (const char c : purpose) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3ULL;
    state_ = mix(mix(mix(mix(seed + 0x9e3779b97f4a7c15ULL) ^ hash) + index) + 0xd1b54a32d192ed03ULL * (sub_index + 1));
  }

  /// Uniform over all 64-bit values.
  uint64_t next() { return mix(state_ += 0x9e3779b97f4a7c15ULL); }

  /// Uniform in [0, 1).
  double uniform() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

  /// Uniform in [low, high).
  double uniform(double low, double high) { return low + (high - low) * uniform(); }

  /// Uniform in {0, ..., count - 1}; count > 0. Without modulo bias (Lemire 2019).
  uint64_t below(uint64_t count) {
    while (true) {
      const __uint128_t product = static_cast<__uint128_t>(next()) * count;
      const auto low = static_cast<uint64_t>(product);
      if (low >= count || low >= (0 - count) % count) return static_cast<uint64_t>(product >> 64);
    }
  }

  /// Normal with mean 0 and deviation 1 (Box-Muller).
  double normal() {
    const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
    return radius * std::cos(2.0 * std::numbers::pi * uniform());
  }

  /// Gamma with the given shape > 0 and scale 1 (Marsaglia and Tsang 2000).
  double gamma(double shape) {
    if (shape < 1) {
      const double larger = gamma(shape + 1);  // drawn first: the order of operands would be the compiler's choice
      return larger * std::pow(1.0 - uniform(), 1.0 / shape);
    }
    const double d = shape - 1.0 / 3.0;
    const double c = 1.0 / std::sqrt(9.0 * d);
    while (true) {
      const double x = normal();
      const double v = std::pow(1.0 + c * x, 3);
      if (v <= 0) continue;
      if (std::log(1.0 - uniform()) < 0.5 * x * x + d - d * v + d * std::log(v)) return d * v;
    }
  }

  /// Beta(alpha, beta) in [0, 1].
  double beta(double alpha, double beta_parameter) {
    const double a = gamma(alpha);
    const double b = gamma(beta_parameter);
    return a + b > 0 ? a / (a + b) : 0.5;
  }

  /// Fisher-Yates shuffle in place.
  template <class T>
  void shuffle(std::vector<T>& values) {
    for (size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[below(i)]);
  }

 private:
  static uint64_t mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }

  uint64_t state_;
};

}  // namespace mien

#pragma once

#include <string>

namespace mien::network {

/// How bytes become a network's input. Stored with the weights, because the network is wrong without it.
struct Normalization {
  enum class Kind {
    scale,      ///< x / 255
    per_image,  ///< (x/255 - image mean) / max(image deviation, 1e-3)
    dataset,    ///< (x/255 - mean) / deviation, with the training rows' mean and deviation
  };
  Kind kind = Kind::scale;
  double mean = 0;       ///< of x/255, for `dataset`
  double deviation = 1;  ///< of x/255, for `dataset`

  std::string text() const;  ///< "scale", "per-image" or "dataset(0.507,0.255)"
  /// The inverse of text(). Throws Error(bad_data).
  static Normalization parse(const std::string& text);
};

}  // namespace mien::network

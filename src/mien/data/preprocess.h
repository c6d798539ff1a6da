#pragma once

#include <cstdint>
#include <span>

#include "mien/data/dataset.h"
#include "mien/network/normalization.h"

namespace mien::data {

/// Turns one image's bytes [C,H,W] into a network's input: `out` receives image.size() floats in the same order. The
/// mean and deviation of `per_image` are over all channels, the deviation being the population's (divided by N).
void normalize_image(std::span<const uint8_t> image, const network::Normalization& normalization, float* out);

/// What normalize_image makes of a byte 0 in `image`.
float black_level(std::span<const uint8_t> image, const network::Normalization& normalization);

/// normalize_image for gray levels in [0, 255] that need not be whole; `levels` is changed in place.
void normalize_levels(std::span<float> levels, const network::Normalization& normalization);

/// The normalization of `kind`; for `dataset`, with the mean and population deviation (at least 1e-3) of all pixels of
/// `training_rows`. Throws Error(bad_data) if `dataset` has nothing to measure or a row is not in `dataset`.
network::Normalization fit_normalization(network::Normalization::Kind kind,
                                         const Dataset& dataset,
                                         std::span<const int64_t> training_rows);

}  // namespace mien::data

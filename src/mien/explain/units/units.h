#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mien/core/options.h"
#include "mien/core/progress.h"
#include "mien/data/dataset.h"
#include "mien/explain/units/receptive_field.h"
#include "mien/network/network.h"

namespace mien::explain {

struct UnitOptions {
  int64_t faces = 9;          ///< kept at either end
  std::string score = "max";  ///< what a face's activation of a filter is: its "max" or "mean" over positions
  int64_t batch_size = 128;

  /// `keeps_faces`: with `unit-faces`.
  void bind(OptionSet& options, bool keeps_faces = true);
};

/// One face that activates a unit much or little.
struct UnitFace {
  int64_t row = 0;       ///< of the data set
  float activation = 0;  ///< by the survey's score
  int64_t y = 0, x = 0;  ///< where in the layer's output the response is strongest; 0 in flat layers
  PixelWindow window;    ///< the pixels that this position sees
};

/// What a layer's units respond to in a set of faces.
struct UnitSurvey {
  int layer = -1;
  std::string score;
  std::vector<std::vector<UnitFace>> most;   ///< [units][faces], strongest first; ties: the lower row first
  std::vector<std::vector<UnitFace>> least;  ///< [units][faces], weakest first
  at::Tensor class_means;            ///< [units, classes] float64, mean activation; NaN for a class without faces
  std::vector<int64_t> class_faces;  ///< [classes] labeled faces behind each mean
  at::Tensor mean, deviation;        ///< [units] float64 over all faces
  at::Tensor active_share;           ///< [units] float64: share of faces whose largest response is above 0
};

/// Runs all `rows` once, up to `layer`, and keeps what `UnitSurvey` says of every unit. Memory does not grow with the
/// number of rows beyond one number a face and unit. Throws Error(usage) if the faces do not fit the network,
/// Error(interrupted) when the user asks to stop.
UnitSurvey survey_units(const network::Network& network,
                        const network::Normalization& normalization,
                        const data::Dataset& dataset,
                        std::span<const int64_t> rows,
                        int layer,
                        const UnitOptions& options,
                        ProgressListener& listener = silent_listener());

/// How much more each unit answers to one class than to the others.
struct ClassSelectivity {
  bool is_index = true;  ///< no activation is negative, and `values` is the index; else a difference in deviations
  std::vector<int64_t> preferred;  ///< [units] the class of the largest mean; -1 for a unit that tells no classes apart
  std::vector<double> values;      ///< [units]; NaN for a unit that is always 0, or with faces of one class only
};

/// Selectivity from the class means of `survey`; classes without faces are left out. With m the largest class mean and
/// r the mean of the other classes' means (every class counts once): (m - r) / (m + r), from 0 to 1, where no
/// activation of the layer is negative. Where some are, that ratio has no meaning, and the value is (m - r) /
/// deviation, the deviation being the unit's over all faces.
/// @source Morcos, Barrett, Rabinowitz, Botvinick 2018, "On the importance of single directions for generalization",
/// equation 1 (the index); Cohen 1988, section 2.2 (a difference of means in deviations)
ClassSelectivity class_selectivity(const UnitSurvey& survey);

/// Class means as a picture compares units: (class mean - the unit's mean over all faces) / its deviation, [units,
/// classes] float64. NaN for a class without faces, and everywhere for a unit that never changes.
at::Tensor standardized_means(const UnitSurvey& survey);

/// Pixels of `face`'s window, [C,h,w] uint8.
at::Tensor crop(const data::Dataset& dataset, const UnitFace& face);

}  // namespace mien::explain

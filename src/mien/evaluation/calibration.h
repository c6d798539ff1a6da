#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mien/evaluation/intervals.h"
#include "mien/evaluation/predictions.h"

namespace mien::evaluation {

/// The faces whose confidence (probability of the predicted class) lies in (low, high].
struct ReliabilityBin {
  double low = 0;
  double high = 0;
  int64_t count = 0;
  double confidence = 0;  ///< mean confidence of the bin; NaN where it is empty
  double accuracy = 0;    ///< share of them predicted correctly; NaN where it is empty
  Interval accuracy_interval;
};

/// `bins` bins of equal width over [0, 1]; a confidence on a boundary belongs to the lower bin. Labeled rows only.
/// @source Guo, Pleiss, Sun, Weinberger 2017, "On calibration of modern neural networks", section 2
std::vector<ReliabilityBin> reliability_bins(const Predictions& predictions, int64_t bins = 15);

/// Mean over faces of |accuracy - confidence| of the bin they lie in, in [0, 1]; 0 for no faces.
/// @source Guo et al. 2017, equation 3
double expected_calibration_error(const std::vector<ReliabilityBin>& bins);

/// Largest |accuracy - confidence| of any bin that has faces, in [0, 1].
/// @source Guo et al. 2017, equation 5
double maximum_calibration_error(const std::vector<ReliabilityBin>& bins);

/// "low,high,count,confidence,accuracy,accuracy_low,accuracy_high", one line a bin; empty fields where a bin is empty.
std::string reliability_csv(const std::vector<ReliabilityBin>& bins);

/// The temperature in [0.01, 100] that minimizes the log loss of softmax(logits / temperature) on the labeled rows;
/// above 1 the network was too sure of itself. Fit it on rows other than those it is judged on. Throws Error(bad_data)
/// if no row is labeled.
/// @source Guo et al. 2017, section 4.2, equation 9
double fit_temperature(const Predictions& predictions);

/// The same predictions with logits divided by `temperature` > 0 and probabilities computed anew; what is predicted
/// stays the same.
Predictions with_temperature(const Predictions& predictions, double temperature);

}  // namespace mien::evaluation

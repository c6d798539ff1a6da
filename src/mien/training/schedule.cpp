#include "mien/training/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace mien::training {
namespace {

/// Half a cosine from `from` (share 0) to `to` (share 1).
double cosine_between(double from, double to, double share) {
  return to + (from - to) * 0.5 * (1 + std::cos(std::numbers::pi * std::clamp(share, 0.0, 1.0)));
}

}  // namespace

double Schedule::rate(double epochs_done) const {
  const double total = static_cast<double>(epochs_);
  const double warmup = std::min(options_.warmup_epochs, total);
  const double floor = std::min(options_.minimum_rate, highest_rate_);
  const double after_warmup = std::max(0.0, epochs_done - warmup);
  const double share = total > warmup ? after_warmup / (total - warmup) : 0.0;
  double rate = highest_rate_;
  if (options_.schedule == "step") {
    rate *= std::pow(options_.decay_rate, std::floor(epochs_done / static_cast<double>(options_.decay_epochs)));
  } else if (options_.schedule == "exponential") {
    rate = std::max(floor, rate * std::pow(options_.decay_rate, std::floor(epochs_done)));
  } else if (options_.schedule == "cosine") {
    rate = cosine_between(highest_rate_, floor, share);
  } else if (options_.schedule == "one-cycle") {
    constexpr double kRise = 0.3;
    rate = share < kRise ? cosine_between(highest_rate_ / 25, highest_rate_, share / kRise)
                         : cosine_between(highest_rate_, floor, (share - kRise) / (1 - kRise));
  } else if (options_.schedule == "plateau") {
    rate = std::max(floor, rate * state_.factor);
  }
  if (epochs_done < warmup) rate *= (epochs_done + 1e-3) / warmup;
  return rate;
}

void Schedule::epoch_ended(double validation_loss) {
  if (options_.schedule != "plateau") return;
  constexpr double kLeastGain = 1e-4;  // relative, PyTorch's ReduceLROnPlateau threshold
  if (validation_loss < state_.best_loss * (1 - kLeastGain)) {
    state_.best_loss = validation_loss;
    state_.epochs_without_gain = 0;
  } else if (++state_.epochs_without_gain > options_.plateau_patience) {
    state_.factor *= options_.decay_rate;
    state_.epochs_without_gain = 0;
  }
}

}  // namespace mien::training

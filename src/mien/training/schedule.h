#pragma once

#include <cstdint>
#include <limits>

#include "mien/training/train_options.h"

namespace mien::training {

/// The learning rate as a function of how far training has come. Only `plateau` has state.
class Schedule {
 public:
  Schedule(const ScheduleOptions& options, double highest_rate, int64_t epochs)
      : options_(options), highest_rate_(highest_rate), epochs_(epochs) {}

  /// Rate of the step that begins when `epochs_done` (fractional, from 0) epochs are done.
  double rate(double epochs_done) const;

  /// Tells plateau the validation loss of the epoch that has ended (NaN is no improvement).
  void epoch_ended(double validation_loss);

  struct State {
    double factor = 1;
    double best_loss = std::numeric_limits<double>::infinity();
    int64_t epochs_without_gain = 0;
  };
  const State& state() const { return state_; }
  void restore(const State& state) { state_ = state; }

 private:
  ScheduleOptions options_;
  double highest_rate_;
  int64_t epochs_;
  State state_;
};

}  // namespace mien::training

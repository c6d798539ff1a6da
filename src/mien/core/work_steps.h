#pragma once

#include <cstdint>
#include <string_view>

#include "mien/core/progress.h"

namespace mien {

/// While it lives, long work of this thread that tells its steps reports to `listener`, and ends when that wants it to.
/// For work that a function without a listener of its own does; the innermost counts.
class StepListener {
 public:
  explicit StepListener(ProgressListener& listener);
  ~StepListener();
  StepListener(const StepListener&) = delete;
  StepListener& operator=(const StepListener&) = delete;

 private:
  ProgressListener* before_;
};

/// Called by long work between two steps, `done` of `total` being done. Throws Error(interrupted) if the thread's
/// StepListener wants the work to end; without one it does nothing.
void tell_step(std::string_view what, int64_t done, int64_t total);

}  // namespace mien

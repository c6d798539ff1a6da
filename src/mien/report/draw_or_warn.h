#pragma once

#include <functional>

#include "mien/core/progress.h"

namespace mien::report {

/// Runs `draw`, which makes pictures of work that is done already. One that cannot be made is a warning: what is beside
/// the job must not cost the job. Errors in data and interruptions pass. Nothing where can_draw() is false.
void draw_or_warn(ProgressListener& listener, const std::function<void()>& draw);

}  // namespace mien::report

#include "mien/core/work_steps.h"

#include <string>

#include "mien/core/error.h"

namespace mien {
namespace {

thread_local ProgressListener* t_listener = nullptr;

}  // namespace

StepListener::StepListener(ProgressListener& listener) : before_(t_listener) { t_listener = &listener; }
StepListener::~StepListener() { t_listener = before_; }

void tell_step(std::string_view what, int64_t done, int64_t total) {
  if (t_listener == nullptr) return;
  if (t_listener->stop_requested()) throw Error(ErrorCode::interrupted, "stopped: " + std::string(what));
  t_listener->progress(what, done, total, "");
}

}  // namespace mien

#include "mien/serve/jobs.h"

namespace mien::serve {
namespace {

bool is_end(Job::State state) { return state != Job::State::waiting && state != Job::State::running; }

}  // namespace

std::string to_text(Job::State state) {
  switch (state) {
    case Job::State::waiting:
      return "waiting";
    case Job::State::running:
      return "running";
    case Job::State::done:
      return "done";
    case Job::State::failed:
      return "failed";
    case Job::State::cancelled:
      return "cancelled";
  }
  return "";
}

Job::State Job::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

std::string Job::text() const {
  const std::lock_guard lock(mutex_);
  return text_;
}

JobProgress Job::progress() const {
  const std::lock_guard lock(mutex_);
  return progress_;
}

void Job::tell(JobProgress progress) {
  const std::lock_guard lock(mutex_);
  progress_ = std::move(progress);
}

bool Job::is_over() const { return is_end(state()); }

bool Job::wait(std::chrono::milliseconds time) const {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, time, [this] { return is_end(state_); });
}

void Job::cancel() { end(State::cancelled, "cancelled"); }

bool Job::start() {
  const std::lock_guard lock(mutex_);
  if (state_ != State::waiting) return false;
  state_ = State::running;
  return true;
}

void Job::finish(std::string answer) { end(State::done, std::move(answer)); }

void Job::fail(std::string reason, bool is_askers_fault) {
  is_askers_fault_ = is_askers_fault;
  end(State::failed, std::move(reason));
}

void Job::end(State state, std::string text) {
  {
    const std::lock_guard lock(mutex_);
    if (is_end(state_)) return;
    state_ = state;
    text_ = std::move(text);
  }
  changed_.notify_all();
}

}  // namespace mien::serve

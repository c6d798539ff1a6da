#include "mien/core/progress.h"

#include <atomic>

namespace mien {
namespace {

class SilentListener final : public ProgressListener {
 public:
  void line(std::string_view) override {}
  void warning(std::string_view) override {}
  void progress(std::string_view, int64_t, int64_t, std::string_view) override {}
};

std::atomic<bool> g_stop{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler sets it");

}  // namespace

bool ProgressListener::stop_requested() const { return mien::stop_requested(); }

ProgressListener& silent_listener() {
  static SilentListener listener;
  return listener;
}

bool stop_requested() { return g_stop.load(std::memory_order_relaxed); }
void request_stop() { g_stop.store(true, std::memory_order_relaxed); }
void clear_stop_request() { g_stop.store(false, std::memory_order_relaxed); }

}  // namespace mien

#include "mien/core/parallel.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <thread>
#include <vector>

#include <sched.h>

namespace mien {
namespace {

std::atomic<int> g_threads{0};

int available_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1U, std::thread::hardware_concurrency());
}

}  // namespace

int threads() {
  const int count = g_threads.load();
  return count > 0 ? count : available_cores();
}

void set_threads(int count) { g_threads.store(std::max(0, count)); }

void parallel_for(int64_t count, const std::function<void(int64_t begin, int64_t end)>& body, int64_t least_block) {
  if (count <= 0) return;
  const int64_t blocks = std::clamp<int64_t>(count / std::max<int64_t>(1, least_block), 1, threads());
  if (blocks == 1) {
    body(0, count);
    return;
  }
  std::vector<std::exception_ptr> errors(static_cast<size_t>(blocks));
  const auto run = [&](int64_t block) {
    try {
      body(count * block / blocks, count * (block + 1) / blocks);
    } catch (...) {
      errors[static_cast<size_t>(block)] = std::current_exception();
    }
  };
  {
    std::vector<std::jthread> workers;
    for (int64_t block = 1; block < blocks; ++block) workers.emplace_back(run, block);
    run(0);
  }
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
}

}  // namespace mien

// One thread for every test of this program: what is claimed bit for bit is claimed for a number of threads, and a
// process that forks must have no others.
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "mien/core/parallel.h"

namespace {

class OneThread final : public testing::Environment {
 public:
  void SetUp() override {
    mien::set_threads(1);
    at::set_num_threads(1);
  }
};

[[maybe_unused]] testing::Environment* const one_thread = testing::AddGlobalTestEnvironment(new OneThread);

}  // namespace

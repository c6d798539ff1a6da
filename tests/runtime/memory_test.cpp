#include "mien/runtime/memory.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include "mien/network/network.h"
#include "mien/training/loss.h"
#include "mien/training/optimizer.h"

namespace mien::runtime {
namespace {

long page_faults() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_minflt;
}

TEST(KeptMemory, SparesATrainingStepItsPageFaultsOnceTheFirstStepsAreOver) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the sanitizer has a malloc of its own";
#endif
  keep_freed_memory();
  network::Network network(network::load_graph("leaky4"), 0);
  for (at::Tensor parameter : network.trainable()) parameter.requires_grad_(true);
  training::Optimizer optimizer({}, network.trainable(), network.trainable_names());
  const at::Tensor images = at::zeros({64, 1, 48, 48}).contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor targets = at::full({64, 7}, 1.0 / 7);
  const auto step = [&] {
    training::cross_entropy(network.forward(images, network::Mode::training), targets).backward();
    optimizer.step(1e-3);
    optimizer.zero_grad();
  };
  for (int i = 0; i < 4; ++i) step();
  const long before = page_faults();
  for (int i = 0; i < 3; ++i) step();
  // A step's tensors are some 250 MB: 61,000 pages of 4 KiB.
  EXPECT_LT(page_faults() - before, 3 * 200);
}

}  // namespace
}  // namespace mien::runtime
